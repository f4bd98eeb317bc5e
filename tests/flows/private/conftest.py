"""Prefect's client in this process, set to a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prefect import results
from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from tests.flows.prefect_server import Server


@pytest.fixture
async def prefect(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Settings for the server; what Prefect begins in the background ends with the test."""
    # As after `ask_once_where_results_go`: the client that asks is never closed.
    monkeypatch.setattr(results, "_read_server_default_result_storage_block_id", lambda: None)
    EventsWorker.set_client_override(NullEventsClient)
    url = str(server.http.base_url).rstrip("/")
    with temporary_settings({PREFECT_API_URL: url, PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield
        drained = EventsWorker.drain_all(at_exit=False)
        assert not isinstance(drained, tuple)
        await drained
    EventsWorker.set_client_override(None)
