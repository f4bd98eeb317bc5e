"""The fleet: who is registered, what each holds, how much waits for whom."""

from __future__ import annotations

from datetime import UTC, datetime

from core.workflows.needs import Needs
from store.fleet import WaitingFor
from store.store import Store
from store.values import WorkerRecord
from tests.store.making import LEASE, accepted, an_image, brought_to, claimed
from tests.store.test_needs import FLUX, SDXL, wanting

SEEN = datetime(2026, 3, 1, tzinfo=UTC)
RECORD = WorkerRecord(
    *("gpu-1", "http://gpu-1:8188", True, None, SEEN, SEEN, LEASE, None),
    *(2, FLUX, 0.25),
)


async def test_what_each_worker_holds_is_known_until_it_ends(store: Store, second: Store) -> None:
    await store.registry.record_worker(RECORD)
    await store.leases.take("worker gpu-1", LEASE, 20.0)
    assert (await second.fleet.registered()).held == ()
    made = await wanting(store, FLUX)
    await wanting(store, SDXL)

    claim = await claimed(store, made.id, lease=LEASE)
    found = await second.fleet.registered()
    [held] = found.held
    assert (found.workers, [one.holder for one in found.leases]) == ((RECORD,), [LEASE])
    assert (held.lease, held.model, held.cost, held.started_at) == (LEASE, FLUX, 0.0, None)

    await store.transitions.start(claim, SEEN)
    [held] = (await second.fleet.registered()).held
    assert held.started_at == SEEN

    await store.transitions.succeed(claim, [an_image(claim)], nodes=1)
    assert (await second.fleet.registered()).held == ()


async def test_what_waits_is_counted_by_what_it_needs(store: Store) -> None:
    assert await store.fleet.waiting() == ()
    for seed in range(3):
        await wanting(store, FLUX, seed=seed)
    await accepted(store)
    taken = await wanting(store, SDXL)
    await claimed(store, taken.id, lease=LEASE)
    await brought_to(store, "running")

    found = await store.fleet.waiting()

    flux = Needs({"checkpoints": (FLUX,)}, ("KSampler",))
    assert sorted(found, key=lambda one: one.count) == [WaitingFor(None, 1), WaitingFor(flux, 3)]


async def test_versions_and_addresses_of_comfyuis(store: Store) -> None:
    await store.registry.record_worker(RECORD)
    await store.registry.keep_catalogue("http://gpu-1:8188", {"version": "0.33.0"})
    await store.registry.keep_catalogue("http://old:8188", {"checkpoints": []})

    assert await store.registry.comfy_urls() == {"http://gpu-1:8188"}
    assert await store.registry.versions() == {"http://gpu-1:8188": "0.33.0"}
    assert (await store.registry.catalogues_at()).keys() == {"http://gpu-1:8188", "http://old:8188"}
