"""The API's application as it is served, but a test says how long a delete can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from unittest import mock
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.facade import Facade
from web import app as web_app
from web import layout, trash
from web.trash import UNDO_S, Trash

UNDO_PATH: Final = "/test/undo"


def create_app() -> ASGIApp:
    """What ``uvicorn tests.browser.app:create_app --factory`` serves."""
    made: list[Trash] = []

    def make(facade: Callable[[], Facade]) -> Trash:
        made.append(Trash(facade))
        return made[-1]

    with mock.patch.object(web_app, "Trash", make):
        application = web_app.create_app()
    return _Undoable(application, made[0])


class _Undoable:
    """Passes everything on but ``/test/undo?seconds=…``; without seconds it is as for people.

    What waits in the trash is taken out: it was put there by a test that is over.
    """

    def __init__(self, application: ASGIApp, bin_: Trash) -> None:
        self._application = application
        self._trash = bin_

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != UNDO_PATH:
            await self._application(scope, receive, send)
            return
        seconds = parse_qs(scope["query_string"].decode()).get("seconds")
        for module in (trash, layout):
            vars(module)["UNDO_S"] = float(seconds[0]) if seconds else UNDO_S
        self._trash.undo(self._trash.ids)
        await Response(status_code=204)(scope, receive, send)
