"""The Prefect server that Easel starts for itself, set up for many small runs on SQLite.

Run as ``python -m flows.prefect.server --port 4200``. Everything here is about Prefect 3.9.1,
which is pinned; the changes that are made to it stand in ``private/server.py``.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping
from typing import Any, Final

from core import gc_tuning

_DAY_S: Final = 86_400
SERVER_ENVIRONMENT: Final[Mapping[str, str]] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The recorder's default batch of 1 falls behind at 5 runs/s and loses task runs.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    # Its default of 5 s: five times as many at once hold up everything else for half a second.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "100",
    # A generation that waits for the GPU is not late; without this, runs turn "Late" after 15 s.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    # In-memory leases (the default) are lost with a restart, and their slots stay taken.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # A newcomer should see the runs, not a dialogue about them.
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
}
"""What Easel's Prefect server is started with, unless the environment says otherwise."""


def retention_environment(runs_days: float, events_days: float) -> dict[str, str]:
    """Have Prefect's server remove ended flow runs (with task runs, logs, artifacts) and events.

    Runs are as old as their end; Prefect wants their days to be more than an hour. Runs that have
    not ended stay. It looks each hour, and at its start.
    """
    runs_s, events_s = (math.ceil(days * _DAY_S) for days in (runs_days, events_days))
    return {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "flow_runs,orphans,events",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(runs_s),
        # Unlike the other one, it is not read as a number of seconds.
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"PT{events_s}S",
    }


def create_app() -> Any:
    """The Prefect server with its UI, as an ASGI application."""
    # Late: `easel up` reads the settings above only.
    from flows.prefect.private import server as private

    private.begin_immediate()
    private.forgive_resent_events()
    private.check_each_schema_once()
    return _settling(private.prefect_server())


def _settling(app: Any) -> Any:
    """The application, whose process settles once it has started."""

    async def settling(scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                gc_tuning.started()
            await send(message)

        await app(scope, receive, told if scope["type"] == "lifespan" else send)

    return settling


def _telling(app: Any) -> Any:
    """The application, printing each request (Prefect's own set-up silences uvicorn's log)."""

    async def telling(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            print("request", scope["method"], scope["path"], flush=True)
        await app(scope, receive, send)

    return telling


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    gc_tuning.starting()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--tell", action="store_true", help="print a line for each request")
    arguments = parser.parse_args()
    for name, value in SERVER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # The UI in the browser asks for the API by a path, so that any host name works.
    os.environ.setdefault("PREFECT_UI_API_URL", "/api")
    os.environ.setdefault("PREFECT_API_URL", f"http://{arguments.host}:{arguments.port}/api")
    import uvicorn

    app = create_app()
    uvicorn.run(
        _telling(app) if arguments.tell else app,
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=60,
        ws_per_message_deflate=False,  # every event goes through it twice, on this machine
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
