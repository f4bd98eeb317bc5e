"""Easel's own endpoint in Prefect's server: what it writes, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling, Failed, Paused

from flows.errors import EndpointMissingError
from flows.prefect.accounts import (
    Account,
    ToldArtifact,
    ToldLine,
    ToldState,
    WantedRun,
)
from flows.prefect.accounts import (
    StateType as ToldStateType,
)
from flows.prefect.endpoint import Endpoint
from flows.prefect.private.ids import new_id
from tests.flows.gates import Pool
from tests.flows.prefect_server import Server
from tests.harness.processes import free_port

pytestmark = [pytest.mark.timeout(90), pytest.mark.usefixtures("prefect")]
BEGAN = datetime.now(UTC) + timedelta(hours=1)
"""Whoever begins to listen hears of nothing that was before."""


@pytest.fixture
async def prefect_client(prefect: None) -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client


@pytest.fixture
def endpoint(prefect_client: PrefectClient) -> Endpoint:
    return Endpoint(prefect_client)


def a_state(kind: ToldStateType, after_s: float = 0.0, **more: Any) -> ToldState:
    at = BEGAN + timedelta(seconds=after_s)
    due = at if kind == "SCHEDULED" else None
    values = {"name": kind.capitalize(), "message": None, "due_at": due, **more}
    return ToldState(id=new_id(), type=kind, at=at, **values)


def begun(pool: Pool, **more: Any) -> Account:
    """An account of a run that is Running."""
    wanted = WantedRun(
        deployment_id=pool.deployment_id,
        key=f"{uuid4()}:1",
        name="a fox",
        queue="bulk",
        tags=("bulk", "txt2img"),
        labels={"easel.store": "this one"},
        parameters={"request": {"prompt": "a fox"}},
        flow_version="7",
        policy={"retries": 0},
        is_made=False,
    )
    states = (a_state("SCHEDULED"), a_state("PENDING", 1), a_state("RUNNING", 2))
    values: dict[str, Any] = {
        "run_id": uuid4(),
        "wanted": wanted,
        "after": None,
        "is_repeated": False,
        "states": states,
    }
    return Account(**{**values, **more})


def ended(first: Account, **more: Any) -> Account:
    """An account of the run's end."""
    values: dict[str, Any] = {
        "run_id": first.run_id,
        "wanted": None,
        "after": first.states[-1].id,
        "is_repeated": False,
        "states": (a_state("COMPLETED", 5, message="1 image"),),
        "lines": (ToldLine(id=uuid4(), at=BEGAN, level=20, text="kept\x00"),),
        "artifacts": (
            ToldArtifact(
                id=uuid4(), event_id=new_id(), type="image", data="http://x", description="a fox"
            ),
        ),
    }
    return Account(**{**values, **more})


async def lines_of(prefect_client: PrefectClient, run: UUID) -> list[str]:
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    return [one.message for one in await prefect_client.read_logs(wanted)]


async def test_a_run_is_begun_and_ended(
    endpoint: Endpoint, pool: Pool, prefect_client: PrefectClient
) -> None:
    first = begun(pool)
    [answer] = await endpoint.send([first])
    assert (answer.verdict, answer.run_id) == ("written", first.run_id)
    run = await prefect_client.read_flow_run(first.run_id)
    assert (run.state_type, run.start_time, run.run_count) == (
        StateType.RUNNING,
        BEGAN + timedelta(seconds=2),
        1,
    )
    assert (run.work_queue_name, run.work_pool_name) == ("bulk", pool.name)
    [answer] = await endpoint.send([ended(first)])
    assert answer.verdict == "written"
    run = await prefect_client.read_flow_run(first.run_id)
    assert (run.state_type, run.total_run_time) == (StateType.COMPLETED, timedelta(seconds=3))
    assert await lines_of(prefect_client, first.run_id) == ["kept"]


async def test_what_is_told_twice_is_written_once(
    endpoint: Endpoint, pool: Pool, prefect_client: PrefectClient, server: Server
) -> None:
    """The answer was lost; meanwhile there was more to tell."""
    first = begun(pool)
    await endpoint.send([first])
    end = ended(first)
    both = end.model_copy(
        update={
            "wanted": first.wanted,
            "after": None,
            "states": (*first.states, *end.states),
            "is_repeated": True,
        }
    )
    for account in (both, both, end.model_copy(update={"is_repeated": True})):
        [answer] = await endpoint.send([account])
        assert answer.verdict == "written"
    rows = server.rows_of(str(first.run_id))
    assert (rows["flow_run_state"], rows["log"], rows["artifact"]) == (4, 1, 1)
    about = f"prefect.flow-run.{first.run_id}"
    [(count,)] = server.select("SELECT count(*) FROM events WHERE resource_id = ?", about)
    assert count == 4
    assert (await prefect_client.read_flow_run(first.run_id)).run_count == 1


async def test_a_run_of_its_key_that_waits_is_begun(
    endpoint: Endpoint, pool: Pool, prefect_client: PrefectClient
) -> None:
    """The dispatcher made it."""
    first = begun(pool)
    assert first.wanted is not None
    made: FlowRun = await prefect_client.create_flow_run_from_deployment(
        pool.deployment_id, idempotency_key=first.wanted.key
    )
    [answer] = await endpoint.send([first])
    assert (answer.verdict, answer.run_id) == ("written", made.id)
    run = await prefect_client.read_flow_run(made.id)
    assert (run.state_type, run.flow_version) == (StateType.RUNNING, "7")


@pytest.mark.parametrize(
    ("place", "fields"),
    [
        ("pool", {"concurrency_limit": 3}),
        ("pool", {"is_paused": True}),
        ("bulk", {"concurrency_limit": 3}),
        ("bulk", {"is_paused": True}),
        ("deployment", {"global_concurrency_limit": 2}),
    ],
    ids=["limit of pool", "pause of pool", "limit of queue", "pause of queue", "deployment"],
)
async def test_nothing_is_begun_where_an_operator_holds_runs_back(
    endpoint: Endpoint,
    pool: Pool,
    prefect_client: PrefectClient,
    place: str,
    fields: dict[str, Any],
) -> None:
    first, running = begun(pool), begun(pool)
    await endpoint.send([running])
    if place == "deployment":
        pool.limit_deployment(2)
    else:
        pool.change(place, **fields)
    refused, written = await endpoint.send([first, ended(running)])
    assert (refused.verdict, written.verdict) == ("refused", "written")  # what goes on, ends
    assert place.replace("bulk", "queue") in refused.why
    with pytest.raises(ObjectNotFound):
        await prefect_client.read_flow_run(first.run_id)


@pytest.mark.parametrize(
    ("state", "last"),
    [
        (Failed(message="by hand"), a_state("COMPLETED", 5)),
        (Cancelling(), a_state("COMPLETED", 5)),
        (Paused(), a_state("PAUSED", 5)),
    ],
    ids=["failed", "cancelling", "paused"],
)
async def test_what_an_operator_made_of_a_run_stays(
    endpoint: Endpoint, pool: Pool, prefect_client: PrefectClient, state: Any, last: ToldState
) -> None:
    """Its log and its artifacts are kept all the same."""
    first = begun(pool)
    await endpoint.send([first])
    await prefect_client.set_flow_run_state(first.run_id, state, force=True)
    last = last.model_copy(update={"id": new_id()})
    [answer] = await endpoint.send([ended(first, states=(last,))])
    assert answer.verdict == "refused"
    run = await prefect_client.read_flow_run(first.run_id)
    assert run.state_type == state.type
    assert await lines_of(prefect_client, first.run_id) == ["kept"]


@pytest.mark.parametrize("state", [Failed(message="by hand"), Paused(), Cancelling()])
@pytest.mark.parametrize("has_ended", [False, True])
async def test_it_stays_when_what_was_told_before_is_told_again(
    endpoint: Endpoint, pool: Pool, prefect_client: PrefectClient, state: Any, has_ended: bool
) -> None:
    """The answer was lost: its worker is to look at the run, and not to go on."""
    first = begun(pool)
    await endpoint.send([first])
    await prefect_client.set_flow_run_state(first.run_id, state, force=True)
    states = (*first.states, *((a_state("COMPLETED", 5),) if has_ended else ()))
    again = first.model_copy(update={"is_repeated": True, "states": states})
    [answer] = await endpoint.send([again])
    assert (answer.verdict, answer.run_id) == ("refused", first.run_id)
    assert (await prefect_client.read_flow_run(first.run_id)).state_type == state.type


async def test_a_pause_that_comes_after_the_work_holds_nothing(
    endpoint: Endpoint, pool: Pool, prefect_client: PrefectClient
) -> None:
    """Prefect accepts it too."""
    first = begun(pool)
    await endpoint.send([first])
    await prefect_client.set_flow_run_state(first.run_id, Paused(), force=True)
    still = ended(first, states=())
    answers = [*await endpoint.send([still]), *await endpoint.send([ended(first)])]
    assert [one.verdict for one in answers] == ["refused", "written"]
    run = await prefect_client.read_flow_run(first.run_id)
    assert run.state_type == StateType.COMPLETED


async def test_a_run_that_has_begun_goes_on_when_it_is_begun_again(
    endpoint: Endpoint, pool: Pool, prefect_client: PrefectClient
) -> None:
    """The answer was lost; meanwhile an operator limited what may begin."""
    first = begun(pool)
    await endpoint.send([first])
    pool.change("pool", concurrency_limit=3)
    both = (*first.states, *ended(first).states)
    again = first.model_copy(update={"is_repeated": True, "states": both})
    [answer] = await endpoint.send([again])
    assert answer.verdict == "written"
    assert (await prefect_client.read_flow_run(first.run_id)).state_type == StateType.COMPLETED


async def test_what_arrives_twice_without_its_workers_knowing_is_written_once(
    endpoint: Endpoint, pool: Pool, server: Server
) -> None:
    """Prefect's client repeats a request whose answer was lost."""
    first, other = begun(pool), begun(pool)
    end = ended(first)
    await endpoint.send([first, end])
    answers = await endpoint.send([end, other])
    assert [one.verdict for one in answers] == ["written", "written"]
    rows = server.rows_of(str(first.run_id))
    assert (rows["flow_run_state"], rows["log"], rows["artifact"]) == (4, 1, 1)


async def test_words_that_no_encoding_takes_are_written_without_them(
    endpoint: Endpoint, pool: Pool, prefect_client: PrefectClient
) -> None:
    """A file's name may have them, and so an error's words."""
    first = begun(pool)
    words = "a \ud800 b\x00"
    line = ToldLine(id=uuid4(), at=BEGAN, level=20, text=words)
    end = ended(first, states=(a_state("FAILED", 5, message=words),), lines=(line,))
    await endpoint.send([first, end])
    assert await lines_of(prefect_client, first.run_id) == ["a \ufffd b"]
    run = await prefect_client.read_flow_run(first.run_id)
    assert run.state is not None
    assert run.state.message == "a \ufffd b"


async def test_a_run_that_is_being_cancelled_may_end_as_cancelled(
    endpoint: Endpoint, pool: Pool, prefect_client: PrefectClient
) -> None:
    first = begun(pool)
    await endpoint.send([first])
    await prefect_client.set_flow_run_state(first.run_id, Cancelling(), force=True)
    end = ended(first, states=(a_state("CANCELLED", 5),))
    [answer] = await endpoint.send([end])
    assert answer.verdict == "written"
    run = await prefect_client.read_flow_run(first.run_id)
    assert run.state_type == StateType.CANCELLED


async def test_a_run_that_was_deleted_is_not_made_again(
    endpoint: Endpoint, pool: Pool, prefect_client: PrefectClient
) -> None:
    first = begun(pool)
    await endpoint.send([first])
    await prefect_client.delete_flow_run(first.run_id)
    assert first.wanted is not None
    again = first.wanted.model_copy(update={"is_made": True})
    answers = await endpoint.send([ended(first), first.model_copy(update={"wanted": again})])
    assert [one.verdict for one in answers] == ["gone", "gone"]


async def test_one_that_cannot_be_written_does_not_hold_up_the_others(
    endpoint: Endpoint, pool: Pool
) -> None:
    """Its state has the id of another run's."""
    first, good = begun(pool), begun(pool)
    await endpoint.send([first])
    taken = a_state("SCHEDULED").model_copy(update={"id": first.states[0].id})
    bad = begun(pool, states=(taken,))
    answers = await endpoint.send([bad, good])
    assert [one.verdict for one in answers] == ["refused", "written"]


async def test_parameters_that_prefect_would_replace_are_left_to_it(
    endpoint: Endpoint, pool: Pool
) -> None:
    first = begun(pool)
    assert first.wanted is not None
    asking = {"inputs": [{"__prefect_kind": "workspace_variable", "variable_name": "x"}]}
    wanted = first.wanted.model_copy(update={"parameters": asking})
    [answer] = await endpoint.send([first.model_copy(update={"wanted": wanted})])
    assert answer.verdict == "refused"


async def test_listeners_hear_of_it(endpoint: Endpoint, pool: Pool) -> None:
    first = begun(pool)
    wanted = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.Completed"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{first.run_id}"]),
    )
    async with get_events_subscriber(filter=wanted) as arriving:
        await endpoint.send([first, ended(first)])
        async for event in arriving:
            assert event.payload["validated_state"]["message"] == "1 image"
            assert event.follows == first.states[-1].id
            break


async def test_automations_hear_of_it(endpoint: Endpoint, pool: Pool, server: Server) -> None:
    """Prefect takes a moment to know a new one: runs go on ending until it has acted."""
    server.post(
        "/automations/",
        name=f"pause {pool.name}",
        trigger={
            "type": "event",
            "posture": "Reactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": {"prefect.resource.id": f"prefect.work-pool.{pool.id}"},
            "expect": ["prefect.flow-run.Completed"],
            "threshold": 1,
        },
        actions=[{"type": "pause-work-pool", "source": "selected", "work_pool_id": pool.id}],
    )
    verdicts: set[str] = set()
    async with asyncio.timeout(60):
        while "refused" not in verdicts:  # for the pool is paused
            first = begun(pool)
            verdicts = {one.verdict for one in await endpoint.send([first, ended(first)])}
            await asyncio.sleep(0.5)


async def test_another_server_has_none(stock_server: Server) -> None:
    async with PrefectClient(str(stock_server.http.base_url)) as prefect_client:
        endpoint = Endpoint(prefect_client)
        with pytest.raises(EndpointMissingError):
            await endpoint.send([])
        assert endpoint.is_missing
        endpoint.look_again()
        assert not endpoint.is_missing


async def test_whoever_answers_every_path_with_a_page_has_none() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    port = free_port()
    async with (
        await asyncio.start_server(answer, "127.0.0.1", port),
        PrefectClient(f"http://127.0.0.1:{port}/api") as prefect_client,
    ):
        endpoint = Endpoint(prefect_client)
        with pytest.raises(EndpointMissingError):
            await endpoint.places("gpu")
        assert endpoint.is_missing
