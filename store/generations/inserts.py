"""New generations as rows: the same for a client's create, a flow run and a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, insert, select

from core.callbacks.callback import Callback
from core.ids import prompt_id
from core.requests import StoredRequest, UnreadableRequest
from core.workflows.needs import Needs
from store.database import next_changes
from store.generations.dispatches import dispatch
from store.needs import keep_needs
from store.outbox import put
from store.search.index import index, indexed_text
from store.signals import signal
from store.tables import attempts, batches, generations
from store.uploads.references import confirm, refer
from store.values import Generation, NewGeneration

# Made once: SQLAlchemy takes longer to make a statement than to carry it out.
_INSERT: Final = insert(generations)
_INSERT_ATTEMPT: Final = insert(attempts)


def insert_generations(
    connection: Connection,
    new: Sequence[NewGeneration],
    *,
    flow_run_id: UUID | None = None,
    batch_id: UUID | None = None,
) -> list[Generation]:
    """Insert generations with their first attempts, in this order; nothing is dispatched yet.

    A batch's items were accepted with it: without a batch, raises FilesGoneError for a request
    whose files are gone.
    """
    if not new:
        return []
    signal(connection, "queue")
    if batch_id is None:
        confirm(connection, [stored_request(one.request) for one in new])
    first = next_changes(connection, len(new))
    now = datetime.now(UTC)
    rows = [
        # A microsecond apart: ordering by time (as Prefect does) gives the order of arrival.
        {
            **_row(one, first + index, now + timedelta(microseconds=index)),
            "flow_run_id": flow_run_id,
            "batch_id": batch_id,
        }
        for index, one in enumerate(new)
    ]
    keep_needs(connection, [found for one in new if (found := needs_of(one.request))])
    connection.execute(_INSERT, rows)
    connection.execute(
        _INSERT_ATTEMPT,
        [
            {
                "generation_id": row["id"],
                "number": 1,
                "prompt_id": prompt_id(row["id"], 1),
                "flow_run_id": flow_run_id,
                "created_at": now,
            }
            for row in rows
        ],
    )
    refer(connection, [(row["id"], row["request"]) for row in rows])
    batch_name = _batch_name(connection, batch_id)
    index(
        connection,
        [
            (row["seq"], indexed_text(searched(one.request, batch_name)))
            for row, one in zip(rows, new, strict=True)
        ],
    )
    return [_generation(row, one) for row, one in zip(rows, new, strict=True)]


def searched(request: StoredRequest, batch_name: str | None) -> list[str | None]:
    """Returns the texts by which a generation is found in the history."""
    if isinstance(request, UnreadableRequest):
        return [request.prompt, request.model, batch_name]
    seed = None if request.seed is None else str(request.seed)
    said = [request.prompt, request.negative_prompt, request.model, seed, batch_name]
    loras = _files_of(request.inputs, "loras", "name")
    return [*said, *loras, *_files_of(request.inputs, "controls", "model")]


def _files_of(inputs: Mapping[str, Any], name: str, field: str) -> Iterator[str]:
    """Yields the model files that the entries of a list name; nothing of a list of another kind."""
    found = inputs.get(name)
    for one in found if isinstance(found, list) else ():
        file = one.get(field) if isinstance(one, Mapping) else None
        if isinstance(file, str):
            yield file


def _batch_name(connection: Connection, batch_id: UUID | None) -> str | None:
    if batch_id is None:
        return None
    found = connection.execute(select(batches.c.name).where(batches.c.id == batch_id))
    return found.scalar_one_or_none()


def _row(new: NewGeneration, change: int, now: datetime) -> dict[str, Any]:
    request = new.request
    return {
        "id": new.id,
        "seq": change,
        "turn": change,
        "change": change,
        "status": "queued",
        "sequence": 1,
        "attempt": 1,
        "fence": 0,
        "priority": request.priority,
        "workflow": request.workflow,
        "model": request.model,
        "prompt": request.prompt,
        "request": stored_request(request),
        "callback": stored_callback(new.callback),
        "cost": cost(request),
        "needs": None if (needs := needs_of(request)) is None else needs.digest,
        "created_at": now,
    }


def stored_request(request: StoredRequest) -> Any:
    """Returns a request as columns have it."""
    if isinstance(request, UnreadableRequest):
        return request.model_dump(mode="json")
    return request.stored()


def stored_callback(callback: Callback | None) -> dict[str, Any] | None:
    """Returns a callback as columns have it."""
    return None if callback is None else callback.model_dump(mode="json")


def _generation(row: dict[str, Any], new: NewGeneration) -> Generation:
    return Generation(
        id=row["id"],
        seq=row["seq"],
        change=row["change"],
        status="queued",
        sequence=1,
        attempt=1,
        fence=0,
        request=new.request,
        progress=None,
        waiting=None,
        error=None,
        cost=row["cost"],
        flow_run_id=row["flow_run_id"],
        created_at=row["created_at"],
        started_at=None,
        finished_at=None,
        deleted_at=None,
        batch_id=row["batch_id"],
        callback=new.callback,
    )


def cost(request: StoredRequest) -> float:
    """Returns a request's work in megapixel-steps, to which rendering time is proportional."""
    if isinstance(request, UnreadableRequest):  # it is not rendered
        return 0.0
    return request.plan.cost


def needs_of(request: StoredRequest) -> Needs | None:
    """Returns what its ComfyUI must have, None where nothing is known to be needed."""
    return None if isinstance(request, UnreadableRequest) else Needs.of(request.plan)


def insert_dispatches(
    connection: Connection, made: Sequence[Generation], *, delay_s: float = 0.0
) -> None:
    """Write the start of each of them to the outbox, due ``delay_s`` after its acceptance."""
    put(
        connection,
        [
            dispatch(
                "start",
                generation.id,
                generation.attempt,
                generation.request.priority if generation.request else "interactive",
                generation.created_at,
                delay_s=delay_s,
            )
            for generation in made
        ],
    )
