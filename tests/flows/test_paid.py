"""What calls paid services is posted once in an attempt, and its key is kept nowhere."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

import comfy
from comfy import ComfySession
from comfy.emulator import Emulator
from comfy.errors import (
    ExecutionFailedError,
    NothingSentError,
    OutOfMemoryComfyError,
    PaidNodesError,
    TransientComfyError,
)
from comfy.paid import PaidServices
from comfy.workflows.known import Known
from core.requests import FlowRequest, read_request_of
from core.workflows.declaration import Workflow
from flows import pipeline, submitting
from flows.errors import PaidUnknownError
from flows.inputs import put_inputs
from flows.nodes import look_at_nodes
from flows.pipeline import Assignment, Ended
from flows.problems import problem_of
from flows.runtime import Runtime
from store.errors import ConflictError, StoreUnavailableError
from store.leases import LeaseKeeper
from store.store import Store
from store.values import Artefact, Claim, Holder
from tests.comfy.data import PAID, TWIN, resolved
from tests.contract.driving import wait_until
from tests.harness.faults import BlackHole, DropReply, Refuse, Rule
from tests.harness.proxy import FaultProxy

KEY = "comfyui-0123456789abcdef"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
RUN = UUID(int=1)
UNTOLD = PAID.model_copy(
    update={"name": "untold", "requires": PAID.requires.model_copy(update={"paid": ()})}
)
"""The same, imported when nothing was known of its node classes."""


@pytest.fixture
async def runtime(store: Store, emulator: Emulator, tmp_path: Path) -> AsyncIterator[Runtime]:
    """A worker that reaches ComfyUI through ``line``, where there is one."""
    async with (
        LeaseKeeper(store.leases, "worker this one", 20) as lease,
        paying(emulator.url) as session,
    ):
        holder = Holder("this one", lease.holder, emulator.url)
        yield Runtime(store, session, lease, holder, "http://easel.test", None, tmp_path)


@pytest.fixture
async def line(emulator: Emulator) -> AsyncIterator[FaultProxy]:
    with FaultProxy(emulator.port) as line:
        yield line


def paying(url: str, key: str | None = KEY) -> ComfySession:
    paid = PaidServices(SecretStr(key) if key is not None else None)
    return ComfySession(url, timeout_s=10, settle_s=0.1, paid=paid)


async def claimed(runtime: Runtime, of: Workflow = PAID) -> Claim:
    """The first attempt of a new generation."""
    await runtime.store.workflows.add(of)
    asked = read_request_of(FlowRequest, {"workflow": of.name}, of)
    accepted = await runtime.store.acceptance.accept(comfy.resolve(asked, of, Known()))
    return await again(runtime, accepted.generation.id)


async def again(runtime: Runtime, generation_id: UUID, attempt: int = 1) -> Claim:
    """Claimed for the run's next try, by the same worker or by one that has taken its place."""
    return await pipeline.claim(
        runtime.store, Assignment(generation_id, RUN, attempt=attempt), runtime.holder
    )


async def submitted(
    runtime: Runtime, claim: Claim, session: ComfySession | None = None, *, fresh: bool = False
) -> str:
    graph = await pipeline.build(runtime.store, claim)
    found = await submitting.submit(
        runtime.store, session or runtime.session, claim, graph, fresh=fresh
    )
    return found.how


async def rendered(runtime: Runtime, claim: Claim) -> tuple[Artefact, ...]:
    store, session = runtime.store, runtime.session
    graph = await pipeline.build(store, claim)
    outputs = await pipeline.render(
        session,
        claim,
        partial(submitting.submit, store, session, claim, graph),
        partial(pipeline.track, store, session, claim, graph),
        once=bool(graph.paid),
    )
    return await pipeline.save(store, session, claim, outputs)


def files_in(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


async def test_only_what_needs_the_key_is_sent_with_it(
    runtime: Runtime, emulator: Emulator
) -> None:
    paid = await claimed(runtime)
    await rendered(runtime, paid)
    await runtime.store.workflows.add(TWIN)
    free = await runtime.store.acceptance.accept(resolved())
    plain = await again(runtime, free.generation.id)
    await rendered(runtime, plain)

    assert emulator.keys == {
        paid.prompt_id: {"api_key_comfy_org": DIGEST},
        plain.prompt_id: {},
    }


async def test_a_class_that_is_known_as_paid_only_later(
    runtime: Runtime, emulator: Emulator
) -> None:
    claim = await claimed(runtime, UNTOLD)
    assert (await pipeline.build(runtime.store, claim)).paid == ()
    await look_at_nodes(runtime.store, runtime.session.client)

    await rendered(runtime, claim)

    assert emulator.keys[claim.prompt_id] == {"api_key_comfy_org": DIGEST}


async def test_the_key_is_kept_nowhere(
    runtime: Runtime, emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where a node tells it."""
    caplog.set_level("DEBUG")
    emulator.faults.fail_node("FluxProUltraImageNode", message=f"bad key {KEY}, sorry")
    claim = await claimed(runtime)

    with pytest.raises(ExecutionFailedError) as failed:
        await rendered(runtime, claim)
    ended = await pipeline.end(runtime.store, runtime.session, claim, failed.value)
    retried = await runtime.store.transitions.retry(claim.generation_id)
    await rendered(runtime, await again(runtime, retried.id, attempt=2))

    assert "bad key (key), sorry" in ended.detail
    assert KEY not in caplog.text
    assert KEY not in repr(claim) + repr(await pipeline.build(runtime.store, claim))
    files = await asyncio.to_thread(files_in, tmp_path)
    assert any(name.endswith(".png") for name in files)
    assert any(name.startswith("easel.db") for name in files)
    assert [name for name, data in files.items() if KEY.encode() in data] == []


async def test_what_is_not_allowed_here_is_not_posted(runtime: Runtime, emulator: Emulator) -> None:
    claim = await claimed(runtime)
    async with ComfySession(emulator.url) as poor:
        with pytest.raises(
            PaidNodesError, match="by FluxProUltraImageNode; EASEL_COMFY"
        ) as refused:
            await submitted(runtime, claim, poor, fresh=True)

    assert emulator.posts == {}
    assert problem_of(refused.value).code == "paid_nodes"
    assert await submitted(runtime, claim) == "posted"  # nothing was written of it


async def test_what_was_posted_goes_on_where_it_is_allowed_no_more(
    runtime: Runtime, emulator: Emulator
) -> None:
    """It is paid: the worker that resumes it, with the setting off, gives nothing up."""
    claim = await claimed(runtime)
    assert await submitted(runtime, claim, fresh=True) == "posted"

    claim = await again(runtime, claim.generation_id)
    async with ComfySession(emulator.url) as poor:
        assert (await submitted(runtime, claim, poor)).startswith("already_")

    assert len(await rendered(runtime, claim)) == 1
    assert emulator.posts == {claim.prompt_id: 1}


async def test_without_a_key_the_node_says_so_and_easel_what_to_do(
    runtime: Runtime, emulator: Emulator
) -> None:
    claim = await claimed(runtime)
    async with paying(emulator.url, key=None) as keyless:
        await submitted(runtime, claim, keyless)
        graph = await pipeline.build(runtime.store, claim)
        with pytest.raises(ExecutionFailedError) as failed:
            await pipeline.track(runtime.store, keyless, claim, graph)

    assert "set EASEL_COMFY__PAID_KEY" in problem_of(failed.value).detail


# --- once


async def test_a_lost_answer_is_found_in_the_queue(runtime: Runtime, emulator: Emulator) -> None:
    emulator.faults.drop_replies(accepted=True)
    claim = await claimed(runtime)

    assert len(await rendered(runtime, claim)) == 1

    assert emulator.posts == {claim.prompt_id: 1}


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_post_that_was_cut_off_is_not_repeated(
    runtime: Runtime, emulator: Emulator, *, fresh: bool
) -> None:
    """By the submission itself, its task's retries, a later claim, and Prefect's rerun."""
    emulator.faults.drop_replies(accepted=False)
    claim = await claimed(runtime)

    with pytest.raises(PaidUnknownError):
        await submitted(runtime, claim, fresh=fresh)
    for _ in range(2):
        with pytest.raises(PaidUnknownError):
            await submitted(runtime, claim)
    claim = await again(runtime, claim.generation_id)
    with pytest.raises(PaidUnknownError) as unknown:
        await submitted(runtime, claim, fresh=not claim.submitted_before)

    assert emulator.posts == {}
    ended = await pipeline.end(runtime.store, runtime.session, claim, unknown.value)
    assert isinstance(ended, Ended)
    kept = await runtime.store.generations.get(claim.generation_id)
    assert kept.status == "failed"
    assert kept.error is not None
    assert kept.error.code == "paid_unknown"
    assert "may have been charged" in kept.error.detail
    assert "retry to submit it" in kept.error.detail
    with pytest.raises(ConflictError):  # its run comes back, and nobody asked for that
        await again(runtime, claim.generation_id)


async def test_a_person_may_retry(runtime: Runtime, emulator: Emulator) -> None:
    emulator.faults.drop_replies(accepted=False)
    claim = await claimed(runtime)
    with pytest.raises(PaidUnknownError) as unknown:
        await submitted(runtime, claim)
    await pipeline.end(runtime.store, runtime.session, claim, unknown.value)

    await runtime.store.transitions.retry(claim.generation_id)
    second = await again(runtime, claim.generation_id, attempt=2)

    assert len(await rendered(runtime, second)) == 1
    assert emulator.posts == {second.prompt_id: 1}


async def test_an_error_in_between_is_as_unsure(
    runtime: Runtime, emulator: Emulator, line: FaultProxy
) -> None:
    """ComfyUI got it, and is restarted before it can be asked."""
    claim = await claimed(runtime)
    line.add(Rule(DropReply(), "POST", "/prompt"))
    lost = line.add(Rule(Refuse(), "GET", times=None))
    async with paying(line.url) as session:
        with pytest.raises(TransientComfyError):
            await submitted(runtime, claim, session, fresh=True)
        assert lost.hits
        await emulator.restart()
        line.clear()
        with pytest.raises(PaidUnknownError):
            await submitted(runtime, claim, session)

    assert emulator.posts == {claim.prompt_id: 1}


async def test_a_crash_between_intent_and_post_is_as_unsure(
    runtime: Runtime, emulator: Emulator
) -> None:
    claim = await claimed(runtime)
    assert await runtime.store.transitions.record_submission(claim)
    assert await runtime.store.flow_runs.let_go(claim.generation_id, RUN, claim.fence)

    later = await again(runtime, claim.generation_id)

    with pytest.raises(PaidUnknownError):
        await submitted(runtime, later, fresh=not later.submitted_before)
    assert emulator.posts == {}


async def test_a_worker_of_another_comfyui_does_not_post_it_either(
    runtime: Runtime, emulator: Emulator
) -> None:
    """Nor does the next one, after a crash right after the claim."""
    claim = await claimed(runtime)
    elsewhere = Holder("another one", uuid4(), "http://elsewhere.test")
    await runtime.store.transitions.record_submission(claim)
    for holder in (elsewhere, runtime.holder, elsewhere, runtime.holder):
        assert await runtime.store.flow_runs.let_go(claim.generation_id, RUN, claim.fence)
        claim = await pipeline.claim(
            runtime.store, Assignment(claim.generation_id, RUN, attempt=1), holder
        )
        with pytest.raises(PaidUnknownError):
            await submitted(runtime, claim, fresh=not claim.submitted_before)

    assert emulator.posts == {}


async def test_a_restart_of_comfyui_does_not_post_it_again(
    runtime: Runtime, emulator: Emulator
) -> None:
    emulator.faults.zombie()
    claim = await claimed(runtime)
    store, session = runtime.store, runtime.session
    graph = await pipeline.build(store, claim)
    tracked = 0

    async def track() -> tuple[comfy.Output, ...]:
        nonlocal tracked
        tracked += 1
        await emulator.restart()
        return await pipeline.track(store, session, claim, graph)

    with pytest.raises(PaidUnknownError):
        await pipeline.render(
            session,
            claim,
            partial(submitting.submit, store, session, claim, graph),
            track,
            once=True,
        )

    assert tracked == 1
    assert emulator.posts == {claim.prompt_id: 1}


async def test_what_failed_is_not_tried_again(runtime: Runtime, emulator: Emulator) -> None:
    emulator.faults.fail_node(
        "SaveImage", exception_type="torch.OutOfMemoryError", message="Allocation on device 0"
    )
    claim = await claimed(runtime)

    with pytest.raises(OutOfMemoryComfyError):
        await rendered(runtime, claim)

    assert emulator.posts == {claim.prompt_id: 1}


async def test_what_was_certainly_not_sent_is_posted_later(
    runtime: Runtime, emulator: Emulator, line: FaultProxy
) -> None:
    """ComfyUI is away: no connection is made, and nothing can have been charged."""
    claim = await claimed(runtime)
    async with paying(line.url) as session:
        line.block()
        with pytest.raises(NothingSentError):
            await submitted(runtime, claim, session, fresh=True)
        line.unblock()
        assert await submitted(runtime, claim, session) == "posted"

    assert emulator.posts == {claim.prompt_id: 1}


async def test_an_intent_whose_answer_was_lost_is_acted_on(
    runtime: Runtime, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has it, and went away before it said so: the call is repeated."""
    claim = await claimed(runtime)
    transitions, record = runtime.store.transitions, runtime.store.transitions.record_submission
    calls = 0

    async def lost(*args: Any) -> bool:
        nonlocal calls
        calls += 1
        first = await record(*args)
        if calls == 1:
            raise StoreUnavailableError("the connection broke after the commit")
        return first

    monkeypatch.setattr(transitions, "record_submission", lost)

    assert await submitted(runtime, claim, fresh=True) == "posted"
    assert calls == 2
    assert emulator.posts == {claim.prompt_id: 1}


@pytest.mark.parametrize("then", ["at once", "while it connects"])
async def test_a_start_that_was_cancelled_before_its_post_is_done_later(
    runtime: Runtime, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    claim = await claimed(runtime)
    transitions, record = runtime.store.transitions, runtime.store.transitions.record_submission

    async def cancelled(*args: Any) -> bool:
        first = await record(*args)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if then == "at once":
            await asyncio.sleep(0)
        return first

    with monkeypatch.context() as patch:
        patch.setattr(transitions, "record_submission", cancelled)
        starting = asyncio.create_task(submitted(runtime, claim, fresh=True))
        await asyncio.wait([starting])
    assert starting.cancelled()
    assert emulator.posts == {}

    claim = await again(runtime, claim.generation_id)

    assert not claim.submitted_before
    assert await submitted(runtime, claim) == "posted"
    assert emulator.posts == {claim.prompt_id: 1}


async def test_a_start_that_was_cancelled_before_its_second_post_is_as_unsure(
    runtime: Runtime, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one was cut off: the intent of it stays."""
    claim = await claimed(runtime)
    calls = 0

    async def cancelled_the_second_time(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        await put_inputs(*args)

    emulator.faults.drop_replies(accepted=False)
    with monkeypatch.context() as patch:
        patch.setattr(submitting, "put_inputs", cancelled_the_second_time)
        starting = asyncio.create_task(submitted(runtime, claim, fresh=True))
        await asyncio.wait([starting])
    assert starting.cancelled()

    claim = await again(runtime, claim.generation_id)

    assert claim.submitted_before
    with pytest.raises(PaidUnknownError):
        await submitted(runtime, claim)
    assert emulator.posts == {}


async def test_a_start_that_was_cancelled_in_its_post_is_as_unsure(
    runtime: Runtime, emulator: Emulator, line: FaultProxy
) -> None:
    claim = await claimed(runtime)
    stuck = line.add(Rule(BlackHole(), "POST", "/prompt"))
    async with paying(line.url) as session:
        starting = asyncio.create_task(submitted(runtime, claim, session, fresh=True))
        await wait_until(lambda: bool(stuck.hits))
        starting.cancel()
        await asyncio.wait([starting])

    claim = await again(runtime, claim.generation_id)

    with pytest.raises(PaidUnknownError):
        await submitted(runtime, claim)
    assert emulator.posts == {}
