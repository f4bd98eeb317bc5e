"""Registers what ``prefect.yaml`` declares: the only source of deployments and work pool."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import Flow
from prefect.schedules import Schedule
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from flows.prefect.declared import QUEUES, read_deployments
from flows.prefect.stored_deployments import StoredDeployment, deployment_by_name

_log = logging.getLogger(__name__)


async def prepare_pool(client: PrefectClient, pool: str, worker_type: str) -> None:
    """Make sure that the pool and its queues exist."""
    try:
        await client.read_work_pool(pool)
    except ObjectNotFound:
        await client.create_work_pool(WorkPoolCreate(name=pool, type=worker_type))
    for name, priority in QUEUES.items():
        try:
            queue = await client.read_work_queue_by_name(name, work_pool_name=pool)
        except ObjectNotFound:
            try:
                await client.create_work_queue(name, priority=priority, work_pool_name=pool)
            except ObjectAlreadyExists:  # another process was quicker
                continue
        else:
            if queue.priority != priority:
                await client.update_work_queue(queue.id, priority=priority)


async def register_deployments(client: PrefectClient) -> None:
    """Create or update every deployment of ``prefect.yaml``; operators' limits stay.

    One whose limit is 0 is left as it is: Prefect would refuse that limit, and without it remove
    it, also one that others share.
    """
    for entry in read_deployments():
        flow = _load(entry["entrypoint"])
        known = await _known(client, f"{flow.name}/{entry['name']}")
        limit = None if known is None else known.global_concurrency_limit
        why: str | None = "Its concurrency limit is 0: raise or remove it"
        if limit is None or limit.limit > 0:
            why = await _register(flow, entry, known)
        if why is not None:  # what is registered already goes on as it is
            name = f"{flow.name}/{entry['name']}"
            _log.warning("%s is not registered anew. %s in the Prefect UI.", name, why)


async def _register(
    flow: Flow[..., Any], entry: dict[str, Any], known: StoredDeployment | None
) -> str | None:
    """Create or update a deployment. Returns what stands in the way, if anything does."""
    deployment = await flow.ato_deployment(
        name=entry["name"],
        description=entry.get("description"),
        tags=entry.get("tags"),
        parameters=entry.get("parameters"),
        work_pool_name=entry["work_pool"]["name"],
        work_queue_name=entry["work_pool"].get("work_queue_name"),
        # Dotted, never a file: a file is executed anew at each load, and breaks isinstance.
        entrypoint_type=EntrypointType.MODULE_PATH,
        schedules=_schedules(known, entry),
        concurrency_limit=_limit(known),
    )
    try:
        await deployment.aapply()
    except ValidationError:
        # It reads the deployment first, and fails for one that only the server understands.
        return "Prefect's client cannot read one of its schedules: remove that schedule"
    return None


async def _known(client: PrefectClient, name: str) -> StoredDeployment | None:
    try:
        return await deployment_by_name(client, name)
    except ObjectNotFound:
        return None


def _limit(known: StoredDeployment | None) -> int | ConcurrencyLimitConfig | None:
    """The concurrency limit as an operator has set it."""
    if known is None or known.global_concurrency_limit is None:
        return None
    limit = known.global_concurrency_limit.limit
    if known.concurrency_options is None:
        return limit
    return ConcurrencyLimitConfig.model_validate({**known.concurrency_options, "limit": limit})


def _schedules(known: StoredDeployment | None, entry: dict[str, Any]) -> list[Schedule]:
    """The schedules of a deployment: `prefect.yaml` sets when they fire, operators switch them."""
    switches = {schedule.slug: schedule.active for schedule in (known.schedules if known else ())}
    return [
        Schedule(
            cron=said["cron"],
            timezone=said.get("timezone"),
            slug=said["slug"],
            active=switches.get(said["slug"], said.get("active", True)),
        )
        for said in entry.get("schedules", [])
    ]


def _load(entrypoint: str) -> Flow[..., Any]:
    module, _, name = entrypoint.rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    if not isinstance(flow, Flow):
        raise TypeError(f"{entrypoint} is not a flow")
    return flow
