"""The gate: what an operator holds back in Prefect, so that a worker knows it before it takes work.

Pauses and concurrency limits of the work pool and its queues, and limits of the deployments of
generations. Prefect heeds those of pool and queues when it is asked what is due, and at no other
moment: it accepts Pending of a run in a paused pool. It heeds those of deployments at Pending.

Limits on tags are none of it: Prefect applies them to task runs, the tags of a flow run do not
reach its task runs, and Easel's tasks have no tags (``tests/flows/private/test_engine.py``,
``tests/flows/test_gate.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import WorkQueueFilter, WorkQueueFilterName
from prefect.exceptions import ObjectNotFound

from flows.errors import DeploymentMissingError, EndpointMissingError
from flows.prefect.abandoned_runs import FLOW
from flows.prefect.declared import QUEUES
from flows.prefect.endpoint import Endpoint
from flows.prefect.gate_places import GatePlace, GatePlaces
from flows.prefect.runs import BATCH_QUEUE, DEPLOYMENT, is_for_generations, translated
from flows.prefect.stored_deployments import StoredDeployment, deployments_of_flow

_OF_QUEUES: Final = WorkQueueFilter(name=WorkQueueFilterName(any_=[*QUEUES]))


@dataclass(frozen=True)
class Paused:
    """Why runs wait, by queue: its own reason or that of the whole pool. A priority is a queue.

    A concurrency limit of 0 has the effect of a pause and counts as one.
    """

    pool: str | None = None
    queues: Mapping[str, str] = field(default_factory=dict)

    def why(self, queue: str) -> str | None:
        """Returns why the runs of that queue wait; None when nothing holds them back."""
        return self.pool or self.queues.get(queue)


@dataclass(frozen=True)
class Gate:
    """What is held back. Without arguments it is open: nothing is."""

    paused: Paused = field(default_factory=Paused)
    limits: tuple[str, ...] = ()
    """A sentence for each concurrency limit that generations may meet."""

    @property
    def is_strict(self) -> bool:
        """Whether Prefect decides how many may run, and so must be asked before one begins."""
        return bool(self.limits)

    def to_json(self) -> dict[str, Any]:
        """Returns the gate as ``from_json`` reads it."""
        paused = {"pool": self.paused.pool, "queues": dict(self.paused.queues)}
        return {"paused": paused, "limits": list(self.limits)}

    @classmethod
    def from_json(cls, value: object) -> Gate:
        """Returns the gate that was stored. What cannot be read of it holds nothing back."""
        said = _mapping(value)
        paused, limits = _mapping(said.get("paused")), said.get("limits")
        pool = paused.get("pool")
        return cls(
            Paused(
                pool if isinstance(pool, str) and pool else None,
                {
                    name: why
                    for name, why in _mapping(paused.get("queues")).items()
                    if isinstance(name, str) and isinstance(why, str)
                },
            ),
            tuple(one for one in limits if isinstance(one, str))
            if isinstance(limits, list | tuple)
            else (),
        )


async def read_gate(
    client: PrefectClient, pool_name: str, endpoint: Endpoint | None = None
) -> Gate:
    """Ask Prefect for the gate of a work pool.

    One small request where Prefect's server has Easel's own endpoint, else three (pool, queues,
    whether there is any global limit). And a page of the deployments of generations while there is
    a global limit: a deployment's limit is one.

    Raises PrefectUnavailableError, and DeploymentMissingError without such a pool.
    """
    deployments: list[StoredDeployment] = []
    try:
        places = await _ask_endpoint(endpoint, pool_name) or await _ask_prefect(client, pool_name)
        if places.has_global_limits:
            async with translated():
                deployments = await deployments_of_flow(client, FLOW)
    except ObjectNotFound as error:  # for example, Prefect has lost its database
        raise DeploymentMissingError(DEPLOYMENT) from error
    if places.pool is None:
        raise DeploymentMissingError(DEPLOYMENT)
    return Gate(
        _paused(places.pool, places.queues),
        tuple(_limits(places.pool, places.queues, deployments)),
    )


async def _ask_endpoint(endpoint: Endpoint | None, pool_name: str) -> GatePlaces | None:
    """Returns what Easel's own endpoint says; None without one."""
    if endpoint is None or endpoint.is_missing:
        return None
    try:
        return await endpoint.places(pool_name)
    except EndpointMissingError:
        return None


async def _ask_prefect(client: PrefectClient, pool_name: str) -> GatePlaces:
    async with translated():
        pool = await client.read_work_pool(pool_name)
        queues = await client.read_work_queues(
            work_pool_name=pool.name, work_queue_filter=_OF_QUEUES
        )
        limits = await client.read_global_concurrency_limits(limit=1)
    return GatePlaces(
        pool=GatePlace.model_validate(pool),
        queues=tuple(GatePlace.model_validate(one) for one in queues),
        has_global_limits=bool(limits),
    )


def _paused(pool: GatePlace, queues: Iterable[GatePlace]) -> Paused:
    said = {queue.name: _why_paused(_queue_words(queue), queue) for queue in queues}
    return Paused(
        _why_paused(_pool_words(pool), pool),
        {name: why for name, why in said.items() if why is not None},
    )


def _why_paused(name: str, place: GatePlace) -> str | None:
    if place.is_paused:
        return f"{name} is paused. Resume it in the Prefect UI."
    if place.concurrency_limit == 0:
        return f"{name} has a concurrency limit of 0. Raise or remove it in the Prefect UI."
    return None


def _limits(
    pool: GatePlace, queues: Iterable[GatePlace], deployments: Iterable[StoredDeployment]
) -> Iterator[str]:
    if pool.concurrency_limit:
        yield _limit_words(_pool_words(pool), pool.concurrency_limit)
    for queue in sorted(queues, key=lambda one: one.name):
        if queue.concurrency_limit and queue.name != BATCH_QUEUE:
            yield _limit_words(_queue_words(queue), queue.concurrency_limit)
    for one in sorted(deployments, key=lambda one: one.name):
        limit = one.global_concurrency_limit
        # One of 0 too, though it lets no run begin: Prefect says so when it is asked. So it does
        # of one that is switched off, which gives nobody a slot.
        if limit is not None and is_for_generations(one):
            yield _limit_words(f"The deployment {FLOW}/{one.name}", limit.limit)


def _limit_words(name: str, limit: int) -> str:
    return f"{name} has a concurrency limit of {limit}."


def _pool_words(pool: GatePlace) -> str:
    return f"The work pool {pool.name}"


def _queue_words(queue: GatePlace) -> str:
    return f"The work queue {queue.name}"


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
