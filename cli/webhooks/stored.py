"""``easel webhooks add``, ``remove`` and ``enable``: what is stored, and what is off."""

from __future__ import annotations

import sys

from pydantic import TypeAdapter, ValidationError

from cli.console import BAD_USAGE, OK, CommandError, console_on
from cli.webhooks.callback_store import callback_store, no_such_callback
from core.callbacks.callback import CallbackName
from core.callbacks.rules import CallbackRules
from core.callbacks.url import Receiver
from core.invalid import words
from core.settings import Settings
from store.errors import NotFoundError


async def add(name: str, url: str) -> int:
    """Store a callback; one of that name gets this URL. Returns the exit code."""
    name, receiver = _name(name), receiver_of(url)
    settings = Settings()
    async with callback_store(settings) as store:
        existed = name in await store.callbacks.names()
        await store.callbacks.add(name, url)
    console_on(sys.stdout).print(
        f"{name} {'now leads' if existed else 'leads'} to {receiver.shown}: ask for it with "
        f'--callback {name}, or "callback": "{name}" in requests, batches and schedules.'
    )
    refusal = CallbackRules(settings.webhooks.allowed).refusal(url)
    if refusal is not None:
        console_on(sys.stderr).print(f"{refusal.message}.", style="yellow")
    return OK


async def remove(name: str) -> int:
    """Remove a stored callback. Returns the exit code."""
    async with callback_store(Settings()) as store:
        try:
            await store.callbacks.remove(name)
        except NotFoundError as error:
            raise await no_such_callback(store.callbacks, name) from error
    console_on(sys.stdout).print(
        f"{name} is removed. Requests that name it are refused from now on, and events of those "
        "that named it before fail."
    )
    return OK


async def enable(name_or_url: str) -> int:
    """Switch a stored callback or an address on again. Returns the exit code."""
    async with callback_store(Settings()) as store:
        try:
            await store.callbacks.enable(name_or_url)
        except NotFoundError as error:
            if "://" not in name_or_url:
                raise await no_such_callback(store.callbacks, name_or_url) from error
            for one in await store.callbacks.all():
                if one.url == name_or_url:
                    raise CommandError(
                        f"it is stored as {one.name}: `easel webhooks enable {one.name}` switches "
                        "it on."
                    ) from error
            raise CommandError(
                "no address with this URL is switched off: `easel webhooks list` shows those that "
                "are, as they must be written."
            ) from error
    console_on(sys.stdout).print(
        "It is on. What failed while it was off is sent again by `easel webhooks redeliver ID`."
    )
    return OK


def receiver_of(url: str) -> Receiver:
    """Returns a URL's receiver. Raises CommandError for one that is not taken."""
    try:
        return Receiver.of(url)
    except ValueError as error:
        raise CommandError(
            f"the URL {error}. One such as https://shop.example/easel is taken.", BAD_USAGE
        ) from error


def _name(name: str) -> str:
    try:
        return TypeAdapter(CallbackName).validate_python(name)
    except ValidationError as error:
        raise CommandError(f"the name {words(error.errors()[0])}.", BAD_USAGE) from error
