"""Runs that a store does not know: they were made for another one, or before it was restored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Scheduled

from flows.prefect.runs import STORE_LABEL, batch_of_key, parse_idempotency_key
from store.store import Store

UNKNOWN: Final = "unknown"
"""Stands for the store of a run that does not say which one made it."""
STATE_NAME: Final = "OtherStore"
"""A name of its own, so that no worker is woken by it."""
PAUSE_S: Final = 60.0
NOT_HERE: Final = "Nothing to do: no "
"""How the message begins with which a worker of an earlier version ends a run."""


def store_of(run: FlowRun) -> str:
    """Returns the store that the run was made for, as its label says."""
    return str(run.labels.get(STORE_LABEL, UNKNOWN))


async def foreign(store: Store, runs: Sequence[FlowRun]) -> frozenset[UUID]:
    """Returns the runs of a generation or batch that this store has never had.

    A run that names none was started in Prefect: any store may adopt it. The row of a run is
    written before the run is made. Batches removed by age leave no trace, so a batch's run is
    foreign only if it was not made for this store.
    """
    generations = {run.id: found for run in runs if (found := generation_of(run)) is not None}
    batches = {
        run.id: found
        for run in runs
        if (found := _batch_of(run)) is not None and store_of(run) != str(store.identity)
    }
    known = await store.generations.known(generations.values())
    known |= await store.batches.known(batches.values())
    return frozenset(
        run_id for run_id, subject in (generations | batches).items() if subject not in known
    )


def put_back_for(pause_s: float) -> State[Any]:
    """Returns the state of a run of another store: it waits, without having run."""
    return Scheduled(
        scheduled_time=datetime.now(UTC) + timedelta(seconds=pause_s),
        name=STATE_NAME,
        message="It is of another store than this pool's: its worker has no such generation.",
    )


def was_ended_elsewhere(state: State[Any] | None) -> bool:
    """Returns whether a worker of another store ended the run, not having its row.

    Such a worker is of a version that took another store's runs.
    """
    if state is None or not state.is_cancelled():
        return False
    return (state.message or "").startswith((f"{NOT_HERE}generation ", f"{NOT_HERE}batch "))


def generation_of(run: FlowRun) -> UUID | None:
    """Returns the generation that a run names, None for one that was started in Prefect."""
    made_for = parse_idempotency_key(run.idempotency_key)
    return made_for[0] if made_for else _uuid(run.parameters.get("generation_id"))


def _batch_of(run: FlowRun) -> UUID | None:
    return batch_of_key(run.idempotency_key) or _uuid(run.parameters.get("batch_id"))


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value)) if value is not None else None
    except ValueError:
        return None
