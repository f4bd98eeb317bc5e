"""What `easel up` gives to the processes that it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.up.command import prepare

RUNS = "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"
EVENTS = "PREFECT_SERVER_EVENTS_RETENTION_PERIOD"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (RUNS, EVENTS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EASEL_HOME", str(tmp_path))
    monkeypatch.setenv("EASEL_COMFY__URL", "http://127.0.0.1:9")


def test_the_prefect_server_hears_how_long_to_keep_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_RETENTION__RUNS_DAYS", "3")
    monkeypatch.setenv("EASEL_RETENTION__EVENTS_DAYS", "0.5")

    environment = prepare(None).environment

    assert (environment[RUNS], environment[EVENTS]) == ("259200", "PT43200S")
    assert "flow_runs" in environment["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"]


def test_prefects_own_variables_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUNS, "86400")

    environment = prepare(None).environment

    assert (environment[RUNS], environment[EVENTS]) == ("86400", "PT86400S")
