"""``easel webhooks test``: sends a test event, as real ones are sent, and says what came of it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from cli.console import FAILED, OK, CommandError, console_on
from cli.up.lock import read_lock
from cli.webhooks.callback_store import CallbackStore, callback_store, no_such_callback
from cli.webhooks.stored import receiver_of
from core.settings import Settings
from store.callbacks.values import StoredCallback
from webhooks.guard import Guard
from webhooks.reply import Reply
from webhooks.sending import Sender
from webhooks.services import OwnServices, Service, services_at
from webhooks.signing import signed
from webhooks.trust import trust

_ALLOW: Final = "EASEL_WEBHOOKS__ALLOW"
_HERE_TOO: Final = " This command reads that setting too."
TEST_EVENT: Final = "webhook.test"


async def send_test(url_or_name: str) -> int:
    """Send it from this process, with the settings here. Returns 0 if a 2xx answered, else 1."""
    settings = Settings()
    async with callback_store(settings) as store:
        target = await _target(store, url_or_name)
        receiver = receiver_of(target.url)
        secrets = await store.secrets.valid()
        guard = Guard(settings.webhooks.allowed, _Services(settings, store))
        sender = Sender(guard, trust(settings.webhooks.ca_file), settings.webhooks.timeout_s)
        event_id, now = uuid4(), datetime.now(UTC)
        body = _body(now)
        reply = await sender.send(receiver, signed(secrets, event_id, now, body), body)
    assert reply is not None  # what is sent by hand is always wanted
    _print_sent(reply, receiver.shown)
    if target.off_at is not None:
        console_on(sys.stderr).print(
            "Events are not sent to it: it is switched off, because it answered 410. Switch it on "
            f"again with `easel webhooks enable {target.name or 'URL'}`.",
            style="yellow",
        )
    return OK if reply.is_taken else FAILED


async def _target(store: CallbackStore, url_or_name: str) -> StoredCallback:
    """Returns what is stored of it; for another URL, as if it were. Raises CommandError."""
    callbacks = await store.callbacks.all()
    for one in callbacks:
        if url_or_name == one.name or (one.name is None and url_or_name == one.url):
            return one
    if ":" not in url_or_name and "/" not in url_or_name:
        raise await no_such_callback(store.callbacks, url_or_name)
    return StoredCallback(None, url_or_name, datetime.now(UTC), None)


class _Services:
    """Easel's own services, also of an `easel up` that was given other ports than the settings."""

    def __init__(self, settings: Settings, store: CallbackStore) -> None:
        self._own = OwnServices(settings, store.registry)
        self._home = settings.home

    async def __call__(self) -> frozenset[Service]:
        running = read_lock(self._home / "easel.lock")
        urls = () if running is None else (running.api_url, running.prefect_api_url)
        return await self._own() | services_at(urls)


def _body(now: datetime) -> bytes:
    event = {
        "type": TEST_EVENT,
        "timestamp": now.isoformat(),
        "data": {"message": "sent by `easel webhooks test`"},
    }
    return json.dumps(event).encode()


def _print_sent(reply: Reply, host: str) -> None:
    """Print what came of it. Raises CommandError if nothing did."""
    tried, out = reply.tried, console_on(sys.stdout)
    if reply.is_refused:
        raise CommandError(f"{reply.reason}.{_HERE_TOO if _ALLOW in reply.reason else ''}")
    if tried.status is None:
        raise CommandError(
            f"{host} did not take it, after {tried.milliseconds} ms: {reply.reason.rstrip('.')}."
        )
    if reply.is_taken:
        line = f"answered {tried.status} in {tried.milliseconds} ms: it took the test event."
        out.print(f"{host} {line}", style="green")
    else:
        then = "be switched off" if reply.is_gone else "be tried again later"
        line = f"{reply.reason}, in {tried.milliseconds} ms. With a real event it would {then}."
        out.print(f"{host} {line}", style="bold red")
    if tried.answer:
        out.print(tried.answer)
