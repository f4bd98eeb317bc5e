"""The settings of Prefect's server still fit the Prefect that is installed."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from prefect.settings import get_current_settings

from flows.prefect.server import SERVER_ENVIRONMENT


def test_every_setting_of_the_server_exists_in_this_prefect() -> None:
    known = get_current_settings().to_environment_variables(include_secrets=True)
    every = set(known) | _names()
    ours = {name for name in SERVER_ENVIRONMENT if name.startswith("PREFECT_")}
    assert ours <= every, ours - every


def _names() -> set[str]:
    from prefect.settings import Settings
    from prefect.settings.legacy import _get_settings_fields

    return {name for name in _get_settings_fields(Settings) if name.startswith("PREFECT_")}


def test_the_settings_have_their_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import Settings

    for name, value in SERVER_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    server = Settings().server
    assert server.services.task_run_recorder.batch_size == 100
    assert server.services.event_persister.batch_size == 200
    assert server.services.late_runs.enabled is False
    assert server.services.pause_expirations.loop_seconds == 30
    assert server.services.cleanup_reconciler.loop_seconds == 60
    assert server.services.repossessor.loop_seconds == 15
    assert server.services.cancellation_cleanup.loop_seconds == 60
    assert server.events.proactive_granularity == timedelta(seconds=15)
    assert server.analytics_enabled is False
    assert server.ui.show_promotional_content is False
    assert import_module(server.concurrency.lease_storage).ConcurrencyLeaseStorage
