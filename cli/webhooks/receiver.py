"""The trial receiver: takes what is sent to any path, verifies it, and prints it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from cli.webhooks.receipt import Detail, details, event_of, one_line, type_of
from cli.webhooks.verdict import why_not_verified

if TYPE_CHECKING:
    from rich.console import Console

BODY_MAX: Final = 1_000_000
"""The longest body, in bytes."""
READ_S: Final = 30.0
"""Seconds in which a body must come."""
_REMEMBERED: Final = 10_000
"""How many ids are remembered, to tell repeats."""
_UNLOGGED: Final = logging.getLogger("easel.webhooks.listen")
_UNLOGGED.addHandler(logging.NullHandler())
_UNLOGGED.propagate = False

Secrets = Callable[[], Awaitable[Sequence[str]]]
"""Returns the secrets that are valid now."""


class TrialReceiver:
    """Answers 204 to what is verified, 401 to what is not; it is printed all the same."""

    def __init__(self, secrets: Secrets, console: Console) -> None:
        self._secrets = secrets
        self._console = console
        self._known: OrderedDict[str, None] = OrderedDict()

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen until the block ends; gives the port. Raises OSError."""
        app = web.Application(client_max_size=BODY_MAX)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, logger=_UNLOGGED, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            self._print_refused(request, 405)
            return web.Response(status=405, headers={"Allow": "POST"}, text=_WHAT_THIS_IS)
        try:
            async with asyncio.timeout(READ_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            self._print_refused(request, 413)
            return web.Response(status=413, text=f"The body has more than {BODY_MAX} bytes.\n")
        except TimeoutError:
            self._print_refused(request, 408)
            return web.Response(status=408, text="The body did not come.\n")
        except (web.RequestPayloadError, HttpProcessingError):
            self._print_refused(request, 400)
            return web.Response(status=400, text="The body cannot be read.\n")
        why = why_not_verified(await self._secrets(), request.headers, body)
        self._print_event(request.headers, body, why)
        return (
            web.Response(status=204) if why is None else web.Response(status=401, text=f"{why}\n")
        )

    def _print_refused(self, request: web.Request, status: int) -> None:
        what = f"{one_line(request.method)} {one_line(request.path)}"
        self._console.print(f"{_now()} {what}: answered {status}", style="dim")

    def _print_event(self, headers: Mapping[str, str], body: bytes, why: str | None) -> None:
        from rich.text import Text

        event = event_of(body)
        verdict = (" ✓ verified  ", "green") if why is None else (" ✗ NOT verified  ", "bold red")
        self._console.print(Text.assemble(_now(), verdict, (type_of(event), "bold")))
        for label, text in self._details(headers, event, why):
            self._console.print(Text.assemble((f"           {label:<8} ", "dim"), text))

    def _details(
        self, headers: Mapping[str, str], event: Mapping[str, object], why: str | None
    ) -> list[Detail]:
        sent_as = one_line(headers.get("webhook-id", ""))
        again = "  (again: a repeat has the same id)" if self._is_repeat(sent_as, why) else ""
        because = [("because", why)] if why is not None else []
        return [*because, ("id", f"{sent_as or 'none'}{again}"), *details(event)]

    def _is_repeat(self, sent_as: str, why: str | None) -> bool:
        """Returns whether the id came before; those of verified requests are remembered."""
        if sent_as in self._known:
            return True
        if why is None:
            self._known[sent_as] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return False


_WHAT_THIS_IS: Final = "This is `easel webhooks listen`: Easel's events are sent here by POST.\n"


def _now() -> str:
    return time.strftime("%H:%M:%S")
