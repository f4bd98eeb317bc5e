"""The Prefect server that Easel starts for itself, set up for many small runs on SQLite.

Run as ``python -m flows.prefect.server --port 4200``. The settings are measured on Prefect 3.9.1,
which is pinned; the changes to its code are in ``private/server.py``.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping
from typing import Any, Final

from core import gc_tuning
from core.open_files import raise_limit
from core.private_files import keep_private
from core.settings import Settings
from core.working_folder import leave_working_folder

_DAY_S: Final = 86_400
SERVER_ENVIRONMENT: Final[Mapping[str, str]] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # With its default batch of 1 the recorder falls behind at 5 runs/s and loses task runs.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    # The default of 5 s writes five times as many at once, which blocks the server for 0.5 s.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "100",
    # By default each 5 s: runs whose pause has expired, and what no worker of Easel asks for.
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "60",
    # By default each 5 s: slots of limits whose lease of 5 minutes has lapsed.
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "15",
    # By default each 20 s: task runs and subflows that a cancelled run has left.
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "60",
    # By default each 5 s: automations that wait for an event that does not come.
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT15S",
    # A generation that waits for the GPU is not late; by default runs turn "Late" after 15 s.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    # In-memory leases (the default) are lost at a restart, and their slots stay taken.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # A new user should see the runs, not an advertisement in front of them.
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    # None: its UI is served by the server itself. The default lets every site's pages read all.
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
}
"""Defaults of Easel's Prefect server; the environment overrides them."""

_HEADERS: Final = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'",
}


def retention_environment(runs_days: float, events_days: float) -> dict[str, str]:
    """Returns settings to remove old flow runs (with task runs, logs, artifacts) and old events.

    The age of a run counts from its end, and must be more than an hour for Prefect. Runs that have
    not ended are kept. The server looks each hour, and at its start.
    """
    runs_s, events_s = (math.ceil(days * _DAY_S) for days in (runs_days, events_days))
    return {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "flow_runs,orphans,events",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(runs_s),
        # Unlike the one above, this is not read as a number of seconds.
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"PT{events_s}S",
    }


def create_app(settings: Settings) -> Any:
    """Returns the Prefect server with its UI, as an ASGI application.

    Browsers' requests from pages of other sites are refused; none may show the UI in a frame.
    """
    # Late imports: `easel up` needs the settings above only.
    from core.origin_guard import OriginGuard
    from core.response_headers import ResponseHeaders
    from flows.prefect.private import docket, subscribers
    from flows.prefect.private import server as private
    from flows.prefect.private.endpoint.route import add_endpoint

    private.begin_immediate()
    private.forgive_resent_events()
    private.read_any_stored_schedule()
    private.check_each_schema_once()
    private.tidy_automations_less_often()
    docket.look_less_often()
    subscribers.wait_for_their_end()
    app = private.prefect_server()
    add_endpoint(app)
    server = _with_gc_tuning(app)
    guarded = OriginGuard(server, settings.host_names, settings.prefect_origins)
    return ResponseHeaders(guarded, lambda _content_type: _HEADERS)


def _with_gc_tuning(app: Any) -> Any:
    """Returns the application, which tunes the garbage collector once it has started."""

    async def tuning(scope: Any, receive: Any, send: Any) -> None:
        async def send_on(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                gc_tuning.started()
            await send(message)

        await app(scope, receive, send_on if scope["type"] == "lifespan" else send)

    return tuning


def _with_request_log(app: Any) -> Any:
    """Returns the application, printing each request: Prefect's set-up silences uvicorn's log."""

    async def logging(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            print("request", scope["method"], scope["path"], flush=True)
        await app(scope, receive, send)

    return logging


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    gc_tuning.starting()
    raise_limit()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--tell", action="store_true", help="print a line for each request")
    arguments = parser.parse_args()
    settings = Settings()
    keep_private(settings.home)
    leave_working_folder(settings)
    for name, value in SERVER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # A path, so that the UI reaches the API under any host name.
    os.environ.setdefault("PREFECT_UI_API_URL", "/api")
    os.environ.setdefault("PREFECT_API_URL", f"http://{arguments.host}:{arguments.port}/api")
    from core.http_server import serve

    app = create_app(settings)
    serve(
        _with_request_log(app) if arguments.tell else app,
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=60,
        ws_per_message_deflate=False,  # events would be compressed and inflated on one machine
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
