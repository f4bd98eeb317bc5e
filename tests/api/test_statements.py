"""A page costs as many SQL statements with fifty rows as with five."""

from __future__ import annotations

from uuid import UUID

from tests.api.conftest import HERE, StartService
from tests.api.service import BATCHES, DELIVERIES, HISTORY, Service, closed_port
from tests.harness.waiting import wait_until

FEW, MANY = 5, 50
_ITEMS = f"{BATCHES}/{{batch_id}}/items"
_LOOKS = 5
"""What is read at intervals (rates, workers) is read in some of these looks, not in all."""


def _statements(service: Service, path: str, rows: int) -> int:
    """What a page of so many rows costs beyond what is read at intervals."""
    counted = []
    for _ in range(_LOOKS):
        with service.statements() as seen:
            found = service.get(path, params={"limit": rows}).json()["items"]
        assert len(found) == rows
        counted.append(len(seen))
    return min(counted)


def _assert_constant(service: Service, path: str) -> None:
    assert _statements(service, path, MANY) == _statements(service, path, FEW)


def test_every_route_of_pages_is_measured_here(service: Service) -> None:
    paths = service.get("/openapi.json").json()["paths"]
    paged = {
        path
        for path, methods in paths.items()
        if any(one["name"] == "limit" for one in methods.get("get", {}).get("parameters", ()))
    }
    assert paged == {HISTORY, BATCHES, DELIVERIES, _ITEMS}


def test_a_page_of_the_history(service: Service) -> None:
    for number in range(MANY):
        made = service.created(f"fox {number}", priority=("interactive", "bulk")[number % 2])
        if number % 5 == 0:
            service.worker.finish(made)
        if number % 5 == 1:
            service.worker.start(made)

    _assert_constant(service, HISTORY)


def test_a_page_of_batches(service: Service) -> None:
    for number in range(MANY):
        batch = service.created_batch("fox", "owl")
        if number % 2:
            [first, _] = service.worker.begin_batch(batch, release=2)
            service.worker.finish(first)

    _assert_constant(service, BATCHES)


def test_a_page_of_items(service: Service) -> None:
    batch = service.created_batch(*(f"fox {number}" for number in range(MANY)))
    made = service.worker.begin_batch(batch, release=MANY - 1)
    for generation_id in made[::3]:
        service.worker.finish(generation_id)

    _assert_constant(service, _ITEMS.format(batch_id=batch))


def test_a_page_of_deliveries(start_service: StartService) -> None:
    service = start_service(default_model="base.safetensors", callbacks_to=HERE)
    asked = ["generation.running", "generation.succeeded"]
    for number in range(MANY // 2):
        made = service.created(
            f"fox {number}", callback_url=f"{closed_port()}/{number}", callback_events=asked
        )
        service.worker.finish(made)

    _assert_constant(service, DELIVERIES)


def test_the_first_estimate_is_like_the_later_ones(start_service: StartService) -> None:
    service = start_service(
        default_model="base.safetensors"
    )  # in the shared one others are running, whose time passes
    service.worker.finish(service.created("a fox that takes a minute"))
    with service.database() as database:
        database.execute("UPDATE generations SET started_at = datetime(finished_at, '-60 seconds')")
    service.create("a costly owl", steps=90)
    service.create("an owl of the other queue", steps=90, priority="bulk")
    waiting = service.created("waits until something was measured")
    wait_until(lambda: (service.status(waiting)["eta_s"] or 0) > 60)

    for priority, ahead in (("interactive", 2), ("bulk", 4)):
        first = service.create("a hen", priority=priority)
        later = service.status(UUID(first["task_id"]))
        assert first["queue_position"] == later["queue_position"] == ahead
        assert first["eta_s"] == later["eta_s"] is not None
