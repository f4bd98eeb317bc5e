"""Registers what ``prefect.yaml`` declares: the only source of deployments and work pool."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import Flow
from prefect.schedules import Schedule
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from flows.prefect.declared import QUEUES, read_deployments
from flows.prefect.stored_deployments import deployment_by_name

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
    """Create or update every deployment of ``prefect.yaml``."""
    for entry in read_deployments():
        flow = _load(entry["entrypoint"])
        deployment = await flow.ato_deployment(
            name=entry["name"],
            description=entry.get("description"),
            tags=entry.get("tags"),
            parameters=entry.get("parameters"),
            work_pool_name=entry["work_pool"]["name"],
            work_queue_name=entry["work_pool"].get("work_queue_name"),
            # Dotted, never a file: a file is executed anew at each load, and breaks isinstance.
            entrypoint_type=EntrypointType.MODULE_PATH,
            schedules=await _schedules(client, f"{flow.name}/{entry['name']}", entry),
        )
        try:
            await deployment.aapply()
        except ValidationError:
            # Prefect's client reads the deployment first, and fails for one schedule that only the
            # server understands. What is registered already goes on as it is.
            _log.warning(
                "%s/%s is not registered anew: Prefect's client cannot read one of its schedules. "
                "Remove that schedule in the Prefect UI.",
                flow.name,
                entry["name"],
            )


async def _schedules(
    client: PrefectClient, deployment: str, entry: dict[str, Any]
) -> list[Schedule]:
    """The schedules of a deployment: `prefect.yaml` sets when they fire, operators switch them."""
    try:
        known = (await deployment_by_name(client, deployment)).schedules
    except ObjectNotFound:
        known = ()
    switches = {schedule.slug: schedule.active for schedule in known}
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
