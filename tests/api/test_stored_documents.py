"""What another version left in any JSON column is no bug of this one: no route answers 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import JSON

from store.tables import metadata
from store.values import Preview, Waiting
from tests.api.conftest import HERE, StartService, shared_service
from tests.api.documented import openapi
from tests.api.service import (
    BATCHES,
    CREATE,
    DELIVERIES,
    Backstage,
    Comfy,
    Service,
    closed_port,
    png,
)

COLUMNS: Final = sorted(
    f"{table.name}.{column.name}"
    for table in metadata.tables.values()
    for column in table.columns
    if isinstance(column.type, JSON)
)
ODD: Final[dict[str, Any]] = {
    "null": None,
    "objects in a list": [{"added": [10**30, {"b": None}]}],
}
BATCH: Final = {"items": [{"prompt": "a fox"}, {"prompt": "", "steps": 1}, {"prompt": "an owl"}]}
NOT_NOW: Final = ("/schedules", "/resume", "/readyz")
"""Prefect is away, and asked for some seconds each time."""


def _renamed(stored: Any) -> Any:
    if isinstance(stored, list):
        return [_renamed(one) for one in stored]
    return {f"other_{name}": value for name, value in stored.items()} | {"added": {"a": [1]}}


def _retyped(stored: Any) -> Any:
    if isinstance(stored, list):
        return [_retyped(one) for one in stored]
    return {name: {"value": value} for name, value in stored.items()}


@dataclass(frozen=True)
class Rows:
    """Something of every kind, to be asked for."""

    tasks: tuple[UUID, ...]
    ended: UUID
    batch_id: UUID
    image_id: UUID
    delivery_id: UUID
    key: dict[str, str]


@pytest.fixture(scope="module")
def service(
    backstage: Backstage, shared_comfy: Comfy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Shared, as elsewhere; callbacks may be sent to this machine."""
    home = tmp_path_factory.mktemp("home")
    with shared_service(backstage, shared_comfy, home, callbacks_to=HERE) as service:
        yield service


@pytest.fixture(scope="module")
def rows(service: Service) -> Rows:
    key = {"Idempotency-Key": str(uuid4())}
    queued = _posted(service, CREATE, {"prompt": "a fox"}, key).json()["task_id"]
    ended = service.created()
    (image,) = service.worker.finish(ended)
    # Its receiver does not answer: the delivery waits for its next try.
    failed = service.created(callback_url=f"{closed_port()}/")
    service.worker.fail(service.worker.start(failed))
    running = service.created()
    waiting = Waiting("disk_full", "wait")
    preview = Preview(1, "image/png", png())
    claim = service.worker.start(running)
    service.worker.progress(claim, 50, preview=preview, waiting=waiting)
    batch_id = UUID(_posted(service, BATCHES, BATCH, key).json()["batch_id"])
    first, *_ = service.worker.begin_batch(batch_id, 1)
    service.worker.finish(first)
    service.worker.appear(comfy_reachable=True)
    tasks = (UUID(queued), ended, failed, running, first)
    [delivery] = service.get(DELIVERIES).json()["items"]
    return Rows(tasks, ended, batch_id, image.id, UUID(delivery["delivery_id"]), key)


def _posted(
    service: Service, path: str, body: dict[str, Any], headers: dict[str, str]
) -> httpx.Response:
    query = {"skip_bad": "true"} if path == BATCHES else {}
    return service.client.post(path, json=body, params=query, headers=headers)


@contextmanager
def _stored_as(service: Service, column: str, change: Any) -> Iterator[None]:
    """Every row's document, as another version would have stored it."""
    table, _, name = column.partition(".")
    with service.database() as connection:
        before = connection.execute(f"SELECT rowid, {name} FROM {table}").fetchall()
        for rowid, text in before:
            odd = change(text)
            connection.execute(f"UPDATE {table} SET {name} = ? WHERE rowid = ?", [odd, rowid])
    yield
    with service.database() as connection:
        for rowid, text in before:
            connection.execute(f"UPDATE {table} SET {name} = ? WHERE rowid = ?", [text, rowid])


def _addresses(rows: Rows) -> set[str]:
    """Every address that a GET can have."""
    return {
        path.format(
            task_id=task_id,
            batch_id=rows.batch_id,
            image_id=rows.image_id,
            artefact_id=rows.image_id,
            upload_id="0" * 64,
            name="txt2img",
            delivery_id=rows.delivery_id,
            number=1,
        )
        for path, methods in openapi()["paths"].items()
        if "get" in methods and not any(one in path for one in NOT_NOW)
        for task_id in (rows.tasks if not path.endswith("/events") else [rows.ended])
    }


def _changes() -> dict[str, Any]:
    def anew(document: Any) -> Any:
        return lambda _: json.dumps(document)

    def from_stored(change: Any) -> Any:
        return lambda text: json.dumps(change(json.loads(text))) if text else text

    return {
        **{name: anew(document) for name, document in ODD.items()},
        "names of its own": from_stored(_renamed),
        "types of its own": from_stored(_retyped),
    }


@pytest.mark.parametrize("column", COLUMNS)
def test_no_route_fails_on_a_document_of_another_version(
    service: Service, rows: Rows, column: str
) -> None:
    for change in _changes().values():
        to_cancel, to_delete, to_retry = (service.created() for _ in range(3))
        service.worker.fail(service.worker.start(to_retry))
        batch_id = service.created_batch("a fox")
        with _stored_as(service, column, change):
            for path in sorted(_addresses(rows)):
                answered = service.get(path)
                assert answered.status_code < 500, (path, answered.text)
            for path, body in ((CREATE, {"prompt": "a fox"}), (BATCHES, BATCH)):
                for headers in (rows.key, {**rows.key, "Prefer": "wait=0"}, {}):
                    answered = _posted(service, path, body, headers)
                    assert answered.is_success, (path, headers, answered.text)
            for method, path in (
                ("POST", service.of(to_cancel, "cancel")),
                ("POST", service.of(to_retry, "retry")),
                ("DELETE", f"/api/v1/generation/{to_delete}"),
                ("POST", f"{BATCHES}/{batch_id}/pause"),
                ("POST", f"{BATCHES}/{batch_id}/cancel"),
                ("POST", f"{DELIVERIES}/{rows.delivery_id}/redeliver"),
            ):
                # 409 when the reconciler has failed it before: it cannot be read.
                answered = service.client.request(method, path)
                assert answered.status_code in {202, 204, 409}, (path, answered.text)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_readiness_does_not_fail_on_a_workers_record(
    service: Service, rows: Rows, odd: Any
) -> None:
    del rows  # it has a worker
    with _stored_as(service, "workers.foreign_runs", lambda _: json.dumps(odd)):
        assert service.get("/readyz").status_code == 503


@pytest.mark.parametrize("odd", [{}, 1, [{"added": 1}], {"checkpoints": {"a": 1}, "vaes": 1}])
def test_a_catalogue_of_another_version_is_none(
    start_service: StartService, comfy: Comfy, odd: Any
) -> None:
    service = start_service(closed_port())
    service.worker.run(service.worker.store.registry.keep_catalogue(closed_port(), odd))
    again = start_service(closed_port())
    assert again.get("/api/v1/models").status_code in {200, 503}
    with_comfy = start_service(comfy.url)
    assert with_comfy.client.post(CREATE, json={"prompt": "a fox"}).status_code == 202
