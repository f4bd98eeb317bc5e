"""Easel's own services are known while it runs: a worker brings its ComfyUI with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.callbacks.addresses import AllowedAddresses
from core.callbacks.url import Receiver
from core.settings import Settings
from store.store import Store
from store.values import WorkerRecord
from tests.webhooks.senders import LOOPBACK, Names
from webhooks.errors import AddressRefusedError
from webhooks.guard import Guard
from webhooks.services import OwnServices, Service


@pytest.mark.parametrize(
    "comfy_url", ["http://127.0.0.1:8199", "http://user:pass@localhost:8199/", "http://[::1]:8199"]
)
async def test_the_comfyui_of_a_registered_worker_is_never_sent_to(
    store: Store, comfy_url: str
) -> None:
    receiver = Receiver.of("http://127.0.0.1:8199/")
    allowed = AllowedAddresses.of([LOOPBACK])
    before = Guard(allowed, OwnServices(Settings(), store.registry), resolve=Names())
    assert await before.addresses(receiver) != ()

    await store.registry.record_worker(a_worker(comfy_url))
    guard = Guard(allowed, OwnServices(Settings(), store.registry), resolve=Names())

    with pytest.raises(AddressRefusedError, match="a service of Easel itself"):
        await guard.addresses(receiver)


async def test_services_of_settings_and_workers_are_added_up(store: Store) -> None:
    await store.registry.record_worker(a_worker("http://gpu-7:8188"))

    found = await OwnServices(Settings(), store.registry)()

    assert {Service("gpu-7", 8188), Service("127.0.0.1", 8700)} <= found


def a_worker(comfy_url: str) -> WorkerRecord:
    now = datetime.now(UTC)
    return WorkerRecord("gpu-7", comfy_url, True, None, started_at=now, seen_at=now)
