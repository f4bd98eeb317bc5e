"""What `easel up` gives to the processes that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.up.command import prepare, warnings_of_open_ports
from tests.cli.running import easel
from tests.harness.processes import free_port

RUNS = "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"
EVENTS = "PREFECT_SERVER_EVENTS_RETENTION_PERIOD"
SERVER_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"
CLIENT_PASSWORD = "PREFECT_API_AUTH_STRING"
QUIET = ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED")


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("EASEL_")]:
        monkeypatch.delenv(name)
    for name in (RUNS, EVENTS, SERVER_PASSWORD, CLIENT_PASSWORD):
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


def test_one_password_for_the_server_and_its_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not {SERVER_PASSWORD, CLIENT_PASSWORD} & prepare(None).environment.keys()
    for given, other in ((SERVER_PASSWORD, CLIENT_PASSWORD), (CLIENT_PASSWORD, SERVER_PASSWORD)):
        monkeypatch.setenv(given, "me:secret")
        monkeypatch.delenv(other, raising=False)
        environment = prepare(None).environment
        assert environment[SERVER_PASSWORD] == environment[CLIENT_PASSWORD] == "me:secret"
        monkeypatch.delenv(given)


def test_a_prefect_server_of_ones_own_has_its_own_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EASEL_PREFECT__API_URL", "http://prefect:4200/api")
    monkeypatch.setenv(CLIENT_PASSWORD, "me:secret")
    environment = prepare(None).environment
    assert environment[CLIENT_PASSWORD] == "me:secret"
    assert SERVER_PASSWORD not in environment


def test_a_host_for_easel_opens_easel_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_API__HOST", "0.0.0.0")
    setup = prepare(None)
    assert [(each.title, each.host) for each in setup.listeners] == [
        ("API", "0.0.0.0"),
        ("Prefect server", "127.0.0.1"),
    ]
    [prefect] = [part for part in setup.parts if part.name == "prefect"]
    assert prefect.arguments[:2] == ("--host", "127.0.0.1")
    [warning] = warnings_of_open_ports(setup.settings, setup.environment)
    assert "Easel listens on 0.0.0.0:8700" in warning
    assert "prompt" in warning
    assert "EASEL_ALLOWED_HOSTS" in warning


def test_prefect_has_a_host_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_PREFECT__HOST", "0.0.0.0")
    setup = prepare(None)
    [prefect] = [part for part in setup.parts if part.name == "prefect"]
    assert prefect.arguments[:2] == ("--host", "0.0.0.0")
    assert setup.environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    [warning] = warnings_of_open_ports(setup.settings, setup.environment)
    assert "Prefect listens on 0.0.0.0:4200 and asks for no password" in warning
    assert "PREFECT_SERVER_API_AUTH_STRING" in warning
    monkeypatch.setenv(SERVER_PASSWORD, "me:secret")
    [warning] = warnings_of_open_ports(setup.settings, prepare(None).environment)
    assert "asks for the password in PREFECT_SERVER_API_AUTH_STRING" in warning
    assert "secret" not in warning


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_on_this_machine_only_there_is_nothing_to_warn_of(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("EASEL_API__HOST", host)
    monkeypatch.setenv("EASEL_PREFECT__HOST", host)
    setup = prepare(None)
    assert warnings_of_open_ports(setup.settings, setup.environment) == []


def test_no_command_lets_prefect_report_its_use() -> None:
    """Before anything of Prefect is imported; a user's own choice stays."""
    code = (
        "import os, sys, cli.main; assert 'prefect' not in sys.modules; "
        "print(os.environ['DO_NOT_TRACK'], os.environ['PREFECT_SERVER_ANALYTICS_ENABLED'])"
    )
    kept = {name: value for name, value in os.environ.items() if name not in QUIET}
    for more, said in (({}, "1 false"), ({"DO_NOT_TRACK": "0"}, "0 false")):
        arguments = [sys.executable, "-c", code]
        out = subprocess.run(
            arguments, env={**kept, **more}, capture_output=True, text=True, check=True
        ).stdout
        assert out.strip() == said


async def test_an_address_of_another_machine_names_its_option(tmp_path: Path) -> None:
    for option, part in (("--host", "API"), ("--prefect-host", "Prefect server")):
        ports = ["--port", str(free_port()), "--prefect-port", str(free_port())]
        more = {"EASEL_COMFY__URL": "http://127.0.0.1:9"}
        ended = await easel("up", option, "192.0.2.1", *ports, home=tmp_path, more=more)
        assert ended.code == 2
        words = " ".join(ended.err.split())
        assert f"the {part} cannot listen on 192.0.2.1" in words
        assert f"Name an address of this machine with {option}," in words


def test_a_take_over_is_for_the_first_start(monkeypatch: pytest.MonkeyPatch) -> None:
    store = "4de8d604-dc67-4d5b-a07f-f590ad8847a5"
    assert prepare(None).at_first == {}
    monkeypatch.setenv("EASEL_PREFECT__TAKE_OVER", store)

    setup = prepare(None)

    assert setup.at_first == {"EASEL_PREFECT__TAKE_OVER": store}
    assert not setup.at_first.keys() & setup.environment.keys()


def test_only_the_worker_gets_the_key_of_paid_services(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "comfyui-0123456789abcdef"
    monkeypatch.setenv("easel_comfy__PAID_KEY", key)

    setup = prepare(None)

    having = [part.name for part in setup.parts if key in part.environment.values()]
    assert having == ["worker"]
    assert key not in setup.environment.values()
    assert key not in repr(setup)
