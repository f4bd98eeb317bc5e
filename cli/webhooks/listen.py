"""``easel webhooks listen``: a small receiver, to see what Easel sends and that it verifies."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Final

from cli.another_home import api_option, home_option
from cli.console import BAD_USAGE, OK, CommandError, console_on
from cli.opened_store import opened_store
from cli.signals import heed_signals
from cli.up.lock import read_lock
from cli.up.ports import holder, is_in_use
from cli.webhooks.receiver import TrialReceiver
from cli.webhooks.verdict import check_secret
from core.callbacks.addresses import literal
from core.callbacks.rules import CallbackRules
from core.open_files import raise_limit
from core.settings import Settings
from store.callbacks.secrets import Secrets
from store.errors import StoreError
from webhooks.services import services_of

USUAL_PORT: Final = 8780
_REACHED_AS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not listened on here


@dataclass(frozen=True)
class Listening:
    """What is asked for. Without a ``port`` it is the usual one, if that is free."""

    host: str
    port: int | None = None
    secret: str | None = None


async def listen(wish: Listening) -> int:
    """Print what is sent here until Ctrl+C. Returns the exit code. CommandError if it cannot."""
    settings, stop = Settings(), asyncio.Event()
    _check_port(settings, wish.port)
    given = None if wish.secret is None else (check_secret(wish.secret),)
    console = console_on(sys.stdout)
    receiver = TrialReceiver(_KnownSecrets(settings, given), console)
    raise_limit()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(heed_signals(stop, hurry=lambda: None))
        port = await _bound(stack, receiver, wish)
        for line in introduction(settings, wish.host, port):
            console.print(line)
        await stop.wait()
    return OK


class _KnownSecrets:
    """The secrets of this home, as they are at each request: they may be rotated meanwhile."""

    def __init__(self, settings: Settings, given: Sequence[str] | None) -> None:
        self._settings = settings
        self._given = given
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self) -> Sequence[str]:
        if self._given is not None:
            return self._given
        try:
            async with self._one_at_a_time, opened_store(self._settings) as database:
                return await Secrets(database).valid()
        except (CommandError, StoreError, OSError):  # Easel was not started yet, or is being moved
            return ()


def _check_port(settings: Settings, port: int | None) -> None:
    """Raises CommandError for a port to which Easel sends nothing, whatever is allowed."""
    if port in {service.port for service in services_of(settings)}:
        raise CommandError(
            f"port {port} is one of Easel itself, which it never sends to: choose another with "
            "--port N.",
            BAD_USAGE,
        )


async def _bound(stack: AsyncExitStack, receiver: TrialReceiver, wish: Listening) -> int:
    """Listen until the stack ends, at the wished port, else at the usual one, else at any.

    Returns the port. Raises CommandError.
    """
    if wish.port is None:
        with suppress(OSError):
            return await stack.enter_async_context(receiver.listening(wish.host, USUAL_PORT))
    port = wish.port or 0
    try:
        return await stack.enter_async_context(receiver.listening(wish.host, port))
    except OSError as error:
        raise CommandError(_cannot_listen(wish.host, port, error)) from error


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if is_in_use(error):
        who = holder(port)
        return f"port {port} is in use{f' by {who}' if who else ''}. Choose another with --port N."
    why = error.strerror or error
    return f"it cannot listen at {host} ({why}). Name an address of this machine with --host."


def introduction(settings: Settings, host: str, port: int) -> list[str]:
    """Returns the lines that say how to try it out."""
    host = _REACHED_AS.get(host, host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    running = read_lock(settings.home / "easel.lock")
    api_url = settings.api_url if running is None else running.api_url
    allow = "" if _is_allowed(settings, host, url) else f"{_allowing(settings, host)} "
    said = f"   # the settings here allow {host}"
    if allow:
        said = "   # in the place of the one that runs now" if running else ""
    return [
        f"Listening for callbacks at {url} until Ctrl+C. Try it in other terminals:",
        f"  {allow}easel up{home_option(settings)}{said}",
        f'  easel generate "a red fox" --callback-url {url}{api_option(settings, api_url)}',
    ]


def _is_allowed(settings: Settings, host: str, url: str) -> bool:
    allowed = settings.webhooks.allowed
    if literal(host) is None:  # a name is looked up when it is sent to: most are of the LAN
        return allowed.names(host)
    return CallbackRules(allowed).refusal(url) is None


def _allowing(settings: Settings, host: str) -> str:
    return f"EASEL_WEBHOOKS__ALLOW='{json.dumps([*settings.webhooks.allow, host])}'"
