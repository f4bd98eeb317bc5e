"""The run of an attempt, as it is wanted of Easel's own endpoint."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRunPolicy
from prefect.flows import Flow

from core.requests import ResolvedRequest
from flows.prefect.accounts import WantedRun
from flows.prefect.runs import (
    FlowRuns,
    deployment_of,
    idempotency_key,
    run_name,
    run_parameters,
    run_tags,
)
from store.values import Claim, Membership


async def wanted_run(
    runs: FlowRuns,
    claim: Claim,
    batch: Membership | None,
    flow: Flow[..., Any],
    *,
    is_made: bool,
) -> WantedRun:
    """Returns the run that ``runs.start`` would make, as it is when ``flow`` has begun.

    ``is_made``: it was made before, and is not made again if it is gone.

    Raises PrefectUnavailableError, OtherStoreError, DeploymentMissingError.
    """
    waiting = await waiting_run(runs, claim.generation_id, claim.attempt, claim.request, batch)
    # What Prefect's flow engine says of a run's retries when it begins.
    policy = FlowRunPolicy(retries=flow.retries, retry_delay=int(flow.retry_delay_seconds or 0))
    begun = {"flow_version": flow.version, "policy": policy.model_dump(mode="json")}
    return waiting.model_copy(update={**begun, "is_made": is_made})


async def waiting_run(
    runs: FlowRuns,
    generation_id: UUID,
    attempt: int,
    request: ResolvedRequest,
    batch: Membership | None,
) -> WantedRun:
    """Returns the run that ``runs.start`` would make. Raises as ``wanted_run``."""
    await runs.confirm_owner()
    return WantedRun(
        deployment_id=await runs.deployment_id(deployment_of(request.workflow)),
        key=idempotency_key(generation_id, attempt),
        name=run_name(generation_id, attempt, batch, request.workflow),
        queue=request.priority,
        tags=tuple(run_tags(request, batch)),
        labels=runs.labels,
        parameters=run_parameters(generation_id, request),
        flow_version=None,
        policy=FlowRunPolicy().model_dump(mode="json"),
        is_made=False,
    )
