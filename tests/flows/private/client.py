"""Prefect's client in this process, set to a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from prefect import results
from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.workers._worker_channel._state import WorkerChannelSession
from prefect.workers._worker_channel._transport import WorkerChannelTransport

from tests.flows.prefect_server import Server


@asynccontextmanager
async def set_to(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Settings for the server; what Prefect begins in the background ends with the test."""
    # As after `ask_once_where_results_go`: the client that asks is never closed.
    monkeypatch.setattr(results, "_read_server_default_result_storage_block_id", lambda: None)
    monkeypatch.setattr(WorkerChannelTransport, "close_session", _until_closed)
    EventsWorker.set_client_override(NullEventsClient)
    url = str(server.http.base_url).rstrip("/")
    with temporary_settings({PREFECT_API_URL: url, PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield
        drained = EventsWorker.drain_all(at_exit=False)
        assert not isinstance(drained, tuple)
        await drained
    EventsWorker.set_client_override(None)


_close = WorkerChannelTransport.close_session


async def _until_closed(transport: WorkerChannelTransport, session: WorkerChannelSession) -> None:
    """Close a worker's WebSocket to its end.

    Prefect's own close is cut short by the cancel that led to it: the connection ends when the
    server answers, in a process that goes on. The loop of a test may be closed before.
    """
    with anyio.CancelScope(shield=True):
        await _close(transport, session)
