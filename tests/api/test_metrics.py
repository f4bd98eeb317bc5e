"""What monitoring reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from core.status import STATUSES
from flows.reconcile.reconciliation import REPAIRS
from store.callbacks.values import DELIVERY_STATES
from tests.api.conftest import HERE, StartService
from tests.api.service import Service
from tests.harness.receiver import CallbackReceiver
from tests.harness.waiting import wait_until


def samples(service: Service) -> dict[tuple[str, str], float]:
    """Each value by its name and its first label's value."""
    response = service.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_generations_by_status_outbox_and_disk(start_service: StartService) -> None:
    service = start_service(default_model="some.safetensors")
    made = [service.created(model="some.safetensors") for _ in range(5)]
    service.worker.finish(made[0])
    service.worker.fail(service.worker.start(made[1]))
    service.worker.start(made[2])
    assert service.client.delete(f"/api/v1/generation/{made[3]}").status_code == 204

    found = samples(service)

    counted = {status: found["easel_generations", status] for status in STATUSES}
    assert counted == {
        "queued": 1,
        "running": 1,
        "cancelling": 0,
        "succeeded": 1,
        "failed": 1,
        "cancelled": 0,
    }
    assert found["easel_disk_free_bytes", ""] > 0
    assert found["python_info", "CPython"] == 1
    assert found["easel_workers_live", ""] == 0


def test_what_is_to_be_dispatched_is_counted(start_service: StartService) -> None:
    service = start_service(default_model="some.safetensors")
    for _ in range(3):
        service.created(model="some.safetensors")

    def pending() -> int:
        with service.database() as connection:
            (found,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
        return int(found)

    assert samples(service)["easel_outbox_pending", ""] == pending() == 3


def test_deliveries_are_counted_by_their_state_and_apart(start_service: StartService) -> None:
    service = start_service(default_model="some.safetensors")
    callbacks, run = service.worker.store.callbacks, service.worker.run
    run(callbacks.add("shop", "https://shop.example/"))
    made = [service.created(model="some.safetensors", callback="shop") for _ in range(2)]
    run(callbacks.remove("shop"))  # events for it are given up at once
    for one in made:
        service.worker.finish(one)

    found = samples(service)

    counted = {state: found["easel_deliveries", state] for state in DELIVERY_STATES}
    assert counted == {"pending": 0, "delivered": 0, "failed": 2, "dropped": 0}


def test_what_is_to_be_delivered_is_no_dispatch(
    start_service: StartService, receiver: CallbackReceiver
) -> None:
    receiver.pause()
    service = start_service(default_model="some.safetensors", callbacks_to=HERE)
    service.worker.finish(service.created(model="some.safetensors", callback_url=receiver.url))

    # The start of its run is not wanted any more; its event is.
    wait_until(lambda: samples(service)["easel_outbox_pending", ""] == 0)
    assert service.count("outbox") == 1
    assert samples(service)["easel_deliveries", "pending"] == 1


def test_live_workers_are_counted(start_service: StartService) -> None:
    service = start_service()
    service.worker.appear(comfy_reachable=True)
    service.worker.appear(comfy_reachable=False, name="worker-2")

    wait_until(lambda: samples(service)["easel_workers_live", ""] == 2)


def test_repairs_are_told(service: Service) -> None:
    REPAIRS.labels("let_go").inc()
    assert samples(service)["easel_repairs_total", "let_go"] >= 1


def test_without_the_database_the_rest_is_told(start_service: StartService) -> None:
    service = start_service()
    with service.database() as connection:
        connection.execute("ALTER TABLE outbox RENAME TO elsewhere")

    found = samples(service)

    names = {name for name, _ in found}
    of_store = {"generations", "deliveries", "outbox_pending", "workers_live"}
    assert names & {f"easel_{name}" for name in of_store} == set()
    assert found["easel_disk_free_bytes", ""] > 0
    with service.database() as connection:
        connection.execute("ALTER TABLE elsewhere RENAME TO outbox")
    assert samples(service)["easel_outbox_pending", ""] == 0
