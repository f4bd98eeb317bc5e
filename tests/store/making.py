"""What the store's tests do again and again: make requests, bring generations somewhere, wait."""

from __future__ import annotations

import asyncio
import hashlib
import io
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from PIL import Image as Pillow
from sqlalchemy import select, text

from core.problems import Problem, problem
from core.requests import ResolvedRequest
from core.status import Status
from store.artefacts.files import NewPicture
from store.generations.dispatches import KINDS, LANE
from store.store import Store
from store.tables import outbox
from store.values import Artefact, Claim, Entry, Generation, Holder, UnderWay, Waiting
from tests.harness.transactions import open_read

OUT_OF_MEMORY = problem("out_of_memory", "The GPU ran out of memory.")
NEVER = UUID(int=0)
"""An id that no generation has."""
RUN, OTHER_RUN = UUID(int=11), UUID(int=12)
LEASE, OTHER_LEASE = UUID(int=21), UUID(int=22)
RUNNER, OTHER_RUNNER = UUID(int=31), UUID(int=32)
COMFY = "http://gpu-1:8188"
PAUSED = Waiting("paused", "Its flow run was paused.")
END_THE_OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
"""Makes PostgreSQL end every connection to the test's database but the one that says it."""


def a_request(**fields: Any) -> ResolvedRequest:
    return ResolvedRequest(
        **{
            "prompt": "a red fox",
            "negative_prompt": "",
            "workflow": "txt2img",
            "model": "base.safetensors",
            "width": 512,
            "height": 512,
            "steps": 20,
            "cfg": 7.0,
            "sampler": "euler",
            "scheduler": "normal",
            "seed": 42,
            "batch_size": 1,
            "priority": "interactive",
            "timeout_s": 600,
            "metadata": {},
            **fields,
        }
    )


async def accepted(store: Store, **fields: Any) -> Generation:
    return (await store.acceptance.accept(a_request(**fields))).generation


async def claimed(
    store: Store,
    generation_id: UUID,
    *,
    flow_run_id: UUID | None = None,
    attempt: int | None = None,
    worker: str = "gpu-1",
    lease: uuid.UUID | None = None,
    comfy_url: str = "http://gpu-1:8188",
    rerun: bool = False,
) -> Claim:
    return await store.transitions.claim(
        generation_id,
        flow_run_id=flow_run_id or uuid.uuid4(),
        attempt=attempt,
        holder=Holder(worker, lease or uuid.uuid4(), comfy_url),
        rerun=rerun,
    )


async def let_go(store: Store, generation_id: UUID) -> None:
    """As the reconciler does when the holder's lease has lapsed."""
    now = await store.generations.get(generation_id)
    assert now.flow_run_id is not None
    assert await store.flow_runs.let_go(now.id, now.flow_run_id, now.fence)


async def taken_over(store: Store, generation_id: UUID, **claim: Any) -> Claim:
    """Another worker's claim, after the former one's lease has lapsed."""
    await let_go(store, generation_id)
    return await claimed(store, generation_id, **claim)


async def running(store: Store, generation_id: UUID, **claim: Any) -> Claim:
    taken = await claimed(store, generation_id, **claim)
    await store.transitions.start(taken, datetime.now(UTC))
    return taken


async def brought_to(store: Store, status: Status, **fields: Any) -> tuple[Generation, Claim]:
    """A generation in that status, and the claim that a worker had on it on the way there."""
    generation_id = (await accepted(store, **fields)).id
    claim = await claimed(store, generation_id)
    if status != "queued":
        await store.transitions.start(claim, datetime.now(UTC))
    match status:
        case "succeeded":
            await store.transitions.succeed(claim, [an_image(claim)])
        case "failed":
            await store.transitions.fail(claim, OUT_OF_MEMORY)
        case "cancelling":
            await store.transitions.request_cancel(generation_id)
        case "cancelled":
            await store.transitions.request_cancel(generation_id)
            await store.transitions.cancelled(claim)
    return await store.generations.get(generation_id), claim


def an_image(claim: Claim, position: int = 0) -> Artefact:
    """The record of a picture, without the picture."""
    stem = f"{claim.generation_id}/{claim.attempt}-{position}"
    return Artefact(
        id=uuid.uuid5(claim.generation_id, f"{claim.attempt}-{position}"),
        generation_id=claim.generation_id,
        position=position,
        path=f"{stem}.png",
        poster_path=f"{stem}.thumbnail.webp",
        primary=position == 0,
        width=512,
        height=512,
        content_type="image/png",
        bytes=1234,
        sha256=hashlib.sha256(stem.encode()).hexdigest(),
        seed=42 + position,
        created_at=datetime.now(UTC),
    )


def a_picture(width: int = 64, height: int = 64, shade: int = 128) -> NewPicture:
    """A small real PNG."""
    buffer = io.BytesIO()
    Pillow.new("RGB", (width, height), (shade, 40, 200)).save(buffer, "PNG")
    return NewPicture(buffer.getvalue(), width, height, "image/png", seed=42)


async def dispatched(store: Store, generation_id: UUID) -> list[tuple[str, int]]:
    """What Prefect has still to be told about a generation, in the order it was decided."""
    statement = (
        select(outbox.c.kind, outbox.c.payload)
        .where(outbox.c.subject == generation_id)
        .order_by(outbox.c.id)
    )
    async with open_read(store.database) as connection:
        return [
            (kind.removeprefix("prefect."), payload["attempt"])
            for kind, payload in await connection.execute(statement)
        ]


async def taken(store: Store, limit: int = 1000, holder: UUID = RUNNER) -> tuple[Entry, ...]:
    """What Prefect is to be told next, claimed by a runner: one entry of each generation."""
    await store.leases.take(f"runner {holder}", holder, 600)
    return await store.outbox.claim(LANE, KINDS, holder, limit)


async def empty_outbox(store: Store) -> None:
    """Prefect has been told everything."""
    while entries := await taken(store):
        for entry in entries:
            assert await store.outbox.done(entry)


def a_problem(detail: str = "it broke") -> Problem:
    return problem("node_failed", detail)


async def wait_until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look until it is so; the deadline is only for what never comes."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def held(store: Store, **claim: Any) -> tuple[Generation, Claim]:
    """A generation that runs, held by RUN and LEASE."""
    made = await accepted(store)
    taken = await running(store, made.id, flow_run_id=RUN, lease=LEASE, **claim)
    return await store.generations.get(made.id), taken


async def being_cancelled(store: Store) -> tuple[Generation, Claim]:
    made, claim = await held(store)
    return await store.transitions.request_cancel(made.id), claim


async def worker_of(store: Store, generation_id: UUID) -> str | None:
    return (await store.generations.attempts(generation_id))[-1].worker


async def under_way(store: Store, flow_run_id: UUID = RUN) -> UnderWay:
    found = await store.generations.of_run(flow_run_id)
    assert found is not None
    return found
