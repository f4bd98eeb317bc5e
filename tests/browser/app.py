"""The API's application as it is served, but a test says how long a delete can be taken back, and
whether the Prefect that keeps the schedules is there: one that keeps them in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from unittest import mock
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api import app as api_app
from api.generations.facade import Facade
from tests.web.kept_schedules import KeptSchedules
from web import app as web_app
from web.parts import layout, trash
from web.parts.trash import UNDO_S, Trash

UNDO_PATH: Final = "/test/undo"
SCHEDULES_PATH: Final = "/test/schedules"


def create_app() -> ASGIApp:
    """What ``uvicorn tests.browser.app:create_app --factory`` serves."""
    made: list[Trash] = []

    def make(facade: Callable[[], Facade]) -> Trash:
        made.append(Trash(facade))
        return made[-1]

    schedules = KeptSchedules(away=True)
    vars(api_app)["Schedules"] = lambda _runs: schedules
    with mock.patch.object(web_app, "Trash", make):
        application = web_app.create_app()
    return _Told(application, made[0], schedules)


class _Told:
    """Passes everything on but what a test says.

    ``/test/undo?seconds=…``: without seconds it is as for people. What waits in the trash is taken
    out: it was put there by a test that is over.

    ``/test/schedules?there=1``: whether Prefect answers. It begins with none but its example.
    """

    def __init__(self, application: ASGIApp, bin_: Trash, schedules: KeptSchedules) -> None:
        self._application = application
        self._trash = bin_
        self._schedules = schedules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in (UNDO_PATH, SCHEDULES_PATH):
            await self._application(scope, receive, send)
            return
        said = parse_qs(scope["query_string"].decode())
        if scope["path"] == UNDO_PATH:
            self._undo_within(said.get("seconds"))
        else:
            self._schedules.away = "there" not in said
            self._schedules.clear()
        await Response(status_code=204)(scope, receive, send)

    def _undo_within(self, seconds: list[str] | None) -> None:
        for module in (trash, layout):
            vars(module)["UNDO_S"] = float(seconds[0]) if seconds else UNDO_S
        self._trash.undo(self._trash.ids)
