"""The API with the page on it: what ``uvicorn web.app:create_app --factory`` serves."""

from __future__ import annotations

import os
import re
import secrets
import time
from functools import partial
from pathlib import Path
from typing import Final, cast
from weakref import WeakSet

from fastapi import FastAPI, Request
from nicegui import Client, core, ui
from nicegui import app as pages
from nicegui.storage import Storage
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.app import create_app as create_api
from api.auth import Policy
from api.context import Context
from api.handlers import problem_response
from core.problems import problem
from core.settings import Settings
from web.batches.bulk import BulkPage, manifests_of
from web.batches.contact import View as BatchView
from web.batches.page import BatchPage
from web.history.listing import read_listing
from web.history.page import HistoryPage
from web.history.picture import PicturePage
from web.history.view import View
from web.models.page import ModelsPage
from web.parts.layout import STATIC, STATIC_URL, Web
from web.parts.released import release
from web.parts.socket_events import guard
from web.parts.trash import Trash
from web.parts.unconnected import Unconnected
from web.schedules.page import SchedulesPage
from web.studio.page import Studio
from web.workers.page import WorkersPage
from web.workflows.covers import Covers
from web.workflows.page import WorkflowsPage

RECONNECT_WITHIN_S: Final = 60.0
"""How long a page keeps its state while its connection is cut."""
VISITORS_KEPT_S: Final = 180 * 86_400.0
"""A visitor's forms are removed after this long without a visit."""
_FORM_BYTES: Final = 10_000
"""Allowance for the form around an uploaded file."""
_UPLOAD: Final = re.compile(r"/_nicegui/client/[^/]+/upload/")
_CSP: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded from, sent to, or shown by another host.

NiceGUI describes each page in an inline script that differs from page to page, Vue compiles its
templates in the browser ('unsafe-eval'), and Quasar sets styles inline. 'self' includes the page's
own websocket in Chrome since 71, in Safari since 16, and in Firefox; where it does not, NiceGUI
falls back to polling. Images come from this server; icons are data, pasted files are blobs.
"""


def create_app(settings: Settings | None = None, policy: Policy | None = None) -> FastAPI:
    """Returns the ASGI application, with the page unless ``EASEL_WEB__ENABLED=false``.

    The policy guards the page too: it runs before anything that is mounted.
    """
    settings = settings or Settings()
    app = create_api(settings, policy)
    if settings.web.enabled:
        install(app, settings)
    return app


def install(app: FastAPI, settings: Settings) -> None:
    """Mount the page on ``app``. All routes must be declared before: later ones are hidden."""

    def context() -> Context:
        return cast("Context", app.state.context)

    _keep_visitors(settings.home)
    manifests_of(settings).prune()
    declare(Web(context, Trash(lambda: context().facade)))
    pages.user_middleware.clear()  # NiceGUI's single application keeps those of an earlier install
    pages.middleware_stack = None
    guard(core.sio)
    connected: WeakSet[Client] = WeakSet()
    pages.on_connect(connected.add)
    pages.add_middleware(Unconnected, connected=connected)
    pages.add_middleware(_Headers)
    pages.add_middleware(_Methods)
    pages.add_middleware(_Uploads, most_bytes=settings.api.max_manifest_bytes)
    # It would show the page's own connection, without a name for screen readers.
    pages.config.quasar_config["loadingBar"]["skipHijack"] = True
    ui.run_with(
        app,
        title="Easel",
        favicon=STATIC / "favicon.svg",
        dark=None,
        language="en-US",
        tailwind=False,
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_WITHIN_S,
        show_welcome_message=False,
        storage_secret=_secret(settings.home / "storage-secret"),
        # Lax, not Strict: a link from another site would come without the cookie, and the answer
        # would replace it. A foreign page's own requests are refused by their Origin.
        session_middleware_kwargs={
            "session_cookie": cookie_name(settings.api.port),
            "same_site": "lax",
        },
    )


def cookie_name(port: int) -> str:
    """Returns the visitors' cookie: browsers send a host's cookies to each of its ports."""
    return f"easel-session-{port}"


_page = partial(ui.page, response_timeout=30.0)
"""NiceGUI's default of 3 s shows an error page under load, which stays."""


def declare(web: Web) -> None:
    """Declare the pages and their URLs."""
    pages.on_delete(release)
    pages.add_static_files(STATIC_URL, STATIC, max_cache_age=31_536_000)

    @_page("/", title="Easel")
    async def studio(g: str | None = None, workflow: str | None = None) -> None:
        await Studio(web, g, workflow).start()

    @_page("/g/{task_id}", title="Easel")
    async def picture(request: Request, task_id: str, i: int = 0) -> None:
        await PicturePage(web, task_id, i, read_listing(request.query_params)).start()

    @_page("/bulk", title="Bulk · Easel")
    async def bulk(cursor: str | None = None) -> None:
        await BulkPage(web, cursor).start()

    @_page("/b/{batch_id}", title="Batch · Easel")
    async def batch(request: Request, batch_id: str) -> None:
        await BatchPage(web, batch_id, BatchView.read(request.query_params)).start()

    @_page("/schedules", title="Schedules · Easel")
    async def schedules() -> None:
        await SchedulesPage(web).start()

    covers = Covers(web)

    @_page("/workflows", title="Workflows · Easel")
    async def workflows() -> None:
        await WorkflowsPage(web, covers).start()

    @_page("/models", title="Models · Easel")
    async def models() -> None:
        await ModelsPage(web).start()

    @_page("/workers", title="Workers · Easel")
    async def workers() -> None:
        await WorkersPage(web).start()

    @_page("/history", title="History · Easel")
    async def history(request: Request) -> None:
        await HistoryPage(web, View.read(request.query_params)).start()


def _keep_visitors(home: Path) -> None:
    """Set the folder of visitors' forms, and remove those not used for a long time."""
    if "NICEGUI_STORAGE_PATH" not in os.environ:
        Storage.path = home / "nicegui"
    forgotten = time.time() - VISITORS_KEPT_S
    for kept in Storage.path.glob("storage-user-*.json"):
        if kept.stat().st_mtime < forgotten:
            kept.unlink(missing_ok=True)


def _secret(path: Path) -> str:
    """Returns the key of the visitors' cookies: created once, so that they survive a restart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return path.read_text()


class _Headers:
    """Middleware: headers that restrict what a page may load."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                headers["Content-Security-Policy"] = _CSP
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)


class _Methods:
    """Middleware: pages and their files take GET and HEAD; the rest is answered without a page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        is_page = scope["type"] == "http" and not scope["path"].startswith("/_nicegui")
        if is_page and scope["method"] not in ("GET", "HEAD"):
            found = problem("method_not_allowed", "this path takes GET, HEAD")
            app = problem_response(found, {"Allow": "GET, HEAD"})
        await app(scope, receive, send)


class _Uploads:
    """Middleware: 413 for a file that is announced too large, 411 for one without a length."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most = most_bytes + _FORM_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and _UPLOAD.search(scope["path"]):
            announced = Headers(scope=scope).get("content-length", "")
            if not announced.isdigit() or int(announced) > self._most:
                app = Response(
                    status_code=413 if announced else 411, headers={"Connection": "close"}
                )
        await app(scope, receive, send)
