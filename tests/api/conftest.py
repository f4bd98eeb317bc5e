"""One service per module for most tests, a service of its own for those that need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.api.service import Backstage, Comfy, Service, closed_port
from tests.harness.databases import a_store
from tests.harness.receiver import CallbackReceiver
from tests.harness.waiting import wait_until

StartService = Callable[..., Service]
HERE: Final = ("127.0.0.0/8",)
"""What a service must allow, so that callbacks can be sent to receivers of the tests."""


@pytest.fixture(autouse=True)
def patience_with_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested is what is said of a disk, not what is done about one that hangs."""
    monkeypatch.setattr("api.disk._PATIENCE_S", 20.0)


@pytest.fixture(scope="module")
def backstage() -> Iterator[Backstage]:
    with Backstage() as backstage:
        yield backstage


@pytest.fixture(scope="module")
def shared_comfy(backstage: Backstage) -> Iterator[Comfy]:
    with Comfy(backstage) as comfy:
        yield comfy


@pytest.fixture(scope="module")
def service(
    backstage: Backstage, shared_comfy: Comfy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Shared: a test makes its own generations and leaves those of others alone."""
    with shared_service(backstage, shared_comfy, tmp_path_factory.mktemp("home")) as service:
        yield service


@contextmanager
def shared_service(
    backstage: Backstage, comfy: Comfy, home: Path, **more: Any
) -> Iterator[Service]:
    """For a module whose service has settings of its own."""
    a_store(home / "easel.db")
    with Service(backstage, home, comfy.url, f"{closed_port()}/api", **more) as service:
        until_catalogue(service)
        yield service


@pytest.fixture
def receiver() -> Iterator[CallbackReceiver]:
    """Of callbacks, with a token in its URL; a service must allow it (``callbacks_to``)."""
    with CallbackReceiver(path="/easel?token=zx81canary") as receiver:
        yield receiver


@pytest.fixture
def comfy(backstage: Backstage) -> Iterator[Comfy]:
    """A ComfyUI of the test's own, to be stopped or changed."""
    with Comfy(backstage) as comfy:
        yield comfy


@pytest.fixture
def start_service(backstage: Backstage, tmp_path: Path) -> Iterator[StartService]:
    """Services of the test's own, on one home; each start is a restart of the API."""
    a_store(tmp_path / "home" / "easel.db")
    with ExitStack() as stack:

        def start(
            comfy_url: str | None = None, prefect_url: str | None = None, **more: Any
        ) -> Service:
            stack.close()
            service = Service(
                backstage,
                tmp_path / "home",
                comfy_url or closed_port(),
                prefect_url or f"{closed_port()}/api",
                **more,
            )
            return stack.enter_context(service)

        yield start


def until_catalogue(service: Service) -> None:
    wait_until(lambda: service.get("/api/v1/models").status_code == 200)
