"""Callbacks and Prefect: named ones are kept, and no receiver's URL is shown there."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError

from core.callbacks.callback import GENERATION_ENDS
from store.store import Store
from tests.harness.generations import SMALL
from tests.harness.processes import free_port
from tests.harness.stack import Stack
from tests.harness.waiting import wait_until
from tests.journeys.test_deleting import has_last_line, prefect_database, tables_with
from tests.journeys.test_schedules import SCHEDULES, schedule

pytestmark = pytest.mark.journey
TOKEN: Final = f"zx81canary{uuid4().hex}"
URL: Final = f"http://127.0.0.1:{free_port()}/{TOKEN}"
"""No receiver is there."""
NAMED: Final = {"url": None, "name": "shop"}
ENDS: Final = list(GENERATION_ENDS)


@pytest.fixture
def shop(stack: Stack) -> Iterator[str]:
    """A stored callback."""

    async def change(*, stored: bool) -> None:
        home = stack.home
        async with Store(f"sqlite+aiosqlite:///{home / 'easel.db'}", str(home / "images")) as store:
            await (store.callbacks.add("shop", URL) if stored else store.callbacks.remove("shop"))

    asyncio.run(change(stored=True))
    yield "shop"
    asyncio.run(change(stored=False))


def run(stack: Stack, deployment: str, **parameters: Any) -> FlowRun:
    """As Custom run in the Prefect UI does."""
    found = stack.prefect.read_deployment_by_name(deployment)
    return stack.prefect.create_flow_run_from_deployment(found.id, parameters=parameters)


def query(stack: Stack, statement: str, *values: str) -> list[Any]:
    with closing(sqlite3.connect(stack.home / "easel.db")) as database:
        return database.execute(statement, values).fetchall()


def kept(stack: Stack, table: str, one: str) -> Any:
    """The callback of a generation or a batch; None until it is there."""
    found = query(stack, f"SELECT callback FROM {table} WHERE id = ?", UUID(one).hex)
    return json.loads(found[0][0]) if found and found[0][0] else None


def told(stack: Stack, column: str, one: str) -> list[tuple[str, str | None]]:
    """The events that were written for a callback of its."""
    statement = f"SELECT event, name FROM deliveries WHERE {column} = ? ORDER BY created_at"
    return query(stack, statement, UUID(one).hex)


def message(stack: Stack, flow_run: FlowRun) -> str:
    failed = stack.wait_for_flow_run(str(flow_run.id), "Failed")
    assert failed.state is not None
    return failed.state.message or ""


def test_a_run_from_prefect_keeps_the_callback_that_it_names(stack: Stack, shop: str) -> None:
    made = run(stack, "generate/comfyui", request={"prompt": "told", "callback": shop, **SMALL})
    generation = stack.generation(str(made.id))
    wait_until(lambda: generation.get().status_code == 200, "it appears in the history")
    generation.wait_for("succeeded")

    assert kept(stack, "generations", generation.id) == {**NAMED, "events": ENDS}
    assert told(stack, "generation_id", generation.id) == [("generation.succeeded", shop)]


def test_the_batch_of_a_schedule_keeps_the_callback_that_it_names(stack: Stack, shop: str) -> None:
    batch = {
        "defaults": {"prompt": "by the clock", **SMALL, "callback": shop},
        "callback": shop,
        "callback_events": ["batch.running", "batch.succeeded"],
    }
    made = schedule(stack, name="told", interval_s=None, cron="0 3 * * *", batch=batch)
    url = f"{SCHEDULES}/{made['schedule_id']}"
    assert stack.api.get(url).json()["batch"] == {**batch, "vary_seed": False}
    begun = stack.batch(str(run(stack, "bulk/told").id))
    wait_until(lambda: stack.api.get(f"/api/v1/batches/{begun.id}").is_success, "the batch")
    begun.wait_for("succeeded")
    assert stack.api.delete(url).status_code == 204

    assert kept(stack, "batches", begun.id) == {**NAMED, "events": batch["callback_events"]}
    [item] = stack.history(batch_id=begun.id)
    assert kept(stack, "generations", item["task_id"]) == {**NAMED, "events": ENDS}
    assert sorted(told(stack, "batch_id", begun.id)) == [
        ("batch.running", shop),
        ("batch.succeeded", shop),
        ("generation.succeeded", shop),
    ]


def test_a_run_that_names_a_callback_that_is_not_stored_fails(stack: Stack, shop: str) -> None:
    for flow_run in (
        run(stack, "generate/comfyui", request={"prompt": "heard by none", "callback": "shpo"}),
        run(stack, "bulk/batch", batch={"items": [{"prompt": "a"}], "callback": "shpo"}),
        run(stack, "bulk/batch", batch={"items": [{"prompt": "a", "callback": "shpo"}]}),
    ):
        said = message(stack, flow_run)
        assert "callback: no callback of this name is stored" in said
        assert "easel webhooks add" in said
        assert f"near matches: {shop}" in said
    assert stack.history(q="heard by none") == []


IN_PREFECT: Final = f"zx81canary{uuid4().hex}"
SHOWN: Final = f"http://127.0.0.1/{IN_PREFECT}"
"""What an operator gives to Prefect: if Prefect takes it, it shows it."""
BARE: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("generate/comfyui", {"request": {"prompt": "a", "callback_url": SHOWN}}),
    ("bulk/batch", {"batch": {"items": [{"prompt": "a"}], "callback_url": SHOWN}}),
    ("bulk/batch", {"batch": {"defaults": {"prompt": "a", "callback_url": SHOWN}}}),
    ("bulk/batch", {"batch": {"items": [{"prompt": "a", "callback_url": SHOWN}]}}),
)


def test_prefect_stores_no_run_with_a_receivers_url(stack: Stack) -> None:
    """It checks parameters by the schema of the deployment, and answers 409 where they differ."""
    for deployment, parameters in BARE:
        with pytest.raises(PrefectHTTPStatusError, match="callback_url") as refused:
            run(stack, deployment, **parameters)
        assert refused.value.response.status_code == 409
    assert tables_with(prefect_database(stack), IN_PREFECT) == []


def test_a_run_with_a_url_that_prefect_did_not_check_fails_and_is_not_logged(stack: Stack) -> None:
    """Whoever makes a run may have it not checked: then its parameters are in Prefect."""
    for deployment, parameters in BARE:
        found = stack.prefect.read_deployment_by_name(deployment)
        answer = stack.prefect._client.post(
            f"/deployments/{found.id}/create_flow_run",
            json={"parameters": parameters, "enforce_parameter_schema": False},
        )
        made = FlowRun.model_validate(answer.json())
        said = message(stack, made)
        assert "callback_url: is not taken here" in said
        assert "easel webhooks add NAME URL" in said
        assert IN_PREFECT not in said
        assert set(tables_with(prefect_database(stack), IN_PREFECT)) <= {"flow_run", "events"}
        assert [part.name for part in stack.parts if IN_PREFECT in part.log.read_text()] == []
        stack.prefect.delete_flow_run(made.id)


def test_a_clients_url_is_nowhere_but_in_the_store(stack: Stack) -> None:
    async def secrets() -> tuple[str, ...]:
        home = stack.home
        async with Store(f"sqlite+aiosqlite:///{home / 'easel.db'}", str(home / "images")) as store:
            return await store.secrets.valid()

    own = f"{URL}/own"
    generation = stack.create("told", callback_url=own)
    batch = stack.create_batch(
        items=[{"prompt": "one", **SMALL, "callback_url": own}], callback_url=own
    )
    done = generation.wait_for("succeeded")
    batch.wait_for("succeeded")
    [item] = stack.history(batch_id=batch.id)
    assert kept(stack, "generations", generation.id) == {"url": own, "name": None, "events": ENDS}
    assert kept(stack, "generations", item["task_id"]) == {"url": own, "name": None, "events": ENDS}
    [image] = generation.result()["images"]
    runs = [generation.flow_run_id(), stack.generation(item["task_id"]).flow_run_id()]
    for run_id in runs:
        wait_until(partial(has_last_line, stack, run_id), "its last line")

    shown = [
        json.dumps([done, item, generation.result(), batch.get()]),
        *(stack.api.get(path).text for path in ("/readyz", "/metrics", "/api/v1/batches")),
        stack.api.get(image["url"]).content.decode("latin-1"),
        *(part.log.read_text(errors="replace") for part in stack.parts),
        *(str(stack.flow_run(run_id)) for run_id in runs),
        *(path.read_bytes().decode("latin-1") for path in stack.comfy_output.rglob("*.png")),
    ]
    for hidden in (TOKEN, *asyncio.run(secrets())):
        assert [text for text in shown if hidden in text] == []
        assert tables_with(prefect_database(stack), hidden) == []
