"""One part alone, in this process: ``easel api``, ``easel worker``, ``easel emulator``."""

from __future__ import annotations

import os
import sys
import time
from typing import Final

import typer

from cli.console import FAILED, OK, CommandError, console_on
from cli.up.checks import api_listener, check_home, check_ports
from cli.up.log_lines import LOGGING
from core import gc_tuning
from core.open_files import raise_limit
from core.settings import Settings
from core.urls import without_userinfo

_FILES_OF_OURS: Final = 256
"""Open files besides clients' connections: above that, clients get 503 instead of no answer."""
_CONNECTIONS_MIN: Final = 100
_ASK_EVERY_S: Final = 0.1
_SAY_EVERY_S: Final = 10.0


def run_api() -> None:
    """Serve the API and the page until SIGTERM or Ctrl+C."""
    gc_tuning.starting()  # until the application has started
    open_files = raise_limit()
    settings = Settings()
    check_home(settings.home)
    check_ports([api_listener(settings)])
    try:
        _serve(settings, open_files)
    except SystemExit as ended:  # uvicorn's, after it has logged why
        raise typer.Exit(FAILED if ended.code else OK) from None


def _serve(settings: Settings, open_files: int) -> None:
    from api.connections import Connection
    from core.http_server import serve

    serve(
        "web.app:create_app",
        factory=True,
        http=Connection,
        limit_concurrency=max(_CONNECTIONS_MIN, open_files - _FILES_OF_OURS),
        host=settings.api.host,
        port=settings.api.port,
        access_log=False,
        log_config=LOGGING,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=2,
    )


def run_worker(pool: str | None) -> None:
    """Work until SIGTERM or Ctrl+C. Waits for the Prefect API first, however long."""
    raise_limit()
    settings = Settings()
    check_home(settings.home)
    # Prefect reads these when it is imported.
    os.environ.setdefault("PREFECT_HOME", str(settings.home / "prefect"))
    os.environ.setdefault("PREFECT_API_URL", settings.prefect_api_url)
    os.environ.setdefault("PREFECT_UI_URL", settings.prefect_ui_url)
    gc_tuning.starting()
    from flows.prefect.declared import default_pool
    from flows.refused_starts import EXPECTED, why_refused
    from flows.worker import main as worker_main

    gc_tuning.started()  # Prefect may be away for long
    _wait_for_prefect(os.environ["PREFECT_API_URL"])
    try:
        worker_main.run_worker(pool or default_pool())
    except EXPECTED as error:
        raise CommandError(why_refused(error)) from error


def _wait_for_prefect(api_url: str) -> None:
    """Wait until it answers. Raises CommandError when it refuses this process's password."""
    import httpx

    from flows.prefect.credentials import Credentials
    from flows.prefect.runs import REFUSED

    shown = without_userinfo(api_url)
    said_at = time.monotonic() - _SAY_EVERY_S + 2
    with httpx.Client(timeout=2, trust_env=False) as http:
        while True:
            try:
                if http.get(f"{api_url}/health").is_success:  # asks for no password
                    headers = Credentials.read().headers
                    answer = http.get(f"{api_url}/admin/version", headers=headers)
                    if answer.status_code in {401, 403}:
                        raise CommandError(f"the Prefect API at {shown} {REFUSED}.")
                    return
            except httpx.HTTPError:
                pass
            if time.monotonic() - said_at > _SAY_EVERY_S:
                said_at = time.monotonic()
                console_on(sys.stderr).print(
                    f"Waiting for the Prefect API at {shown}. `easel up` starts one; "
                    "EASEL_PREFECT__API_URL names another."
                )
            time.sleep(_ASK_EVERY_S)


def run_emulator(arguments: list[str]) -> None:
    """Run the ComfyUI emulator until SIGTERM or Ctrl+C."""
    import asyncio

    from comfy.emulator.__main__ import options, serve

    try:
        asyncio.run(serve(options(arguments)))
    except OSError as error:
        raise CommandError(
            f"the emulator cannot start ({error.strerror or error}). "
            "Choose another port with --port N."
        ) from error
