"""The flows of deployments: Easel's own, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint

from flows.errors import ForeignFlowError
from flows.prefect.stored_deployments import deployment_by_id

GENERATE: Final = "flows.generate.generate"
BULK: Final = "flows.bulk.bulk"
ALLOWED: Final[Mapping[str, str]] = {
    GENERATE: GENERATE,
    BULK: BULK,
    # How `prefect deploy` writes them when it is given a file.
    "flows/generate.py:generate": GENERATE,
    "flows/bulk.py:bulk": BULK,
}
"""Each entrypoint that a deployment may name, and the flow that is imported for it.

Whoever reaches the Prefect API can make deployments with any entrypoint, and importing one runs
its code as the worker's user. Nothing else than these flows is imported.
"""


class DeployedFlows:
    """Reads each deployment once, and imports each flow once."""

    def __init__(self) -> None:
        self._entrypoints: dict[UUID, str] = {}
        self._flows: dict[str, Flow[..., Any]] = {}

    async def name_of(self, client: PrefectClient, flow_run: FlowRun) -> str:
        """Returns the flow of the run's deployment, imported or not. Raises ForeignFlowError."""
        entrypoint = await self._entrypoint_of(client, flow_run)
        if not entrypoint:
            raise ForeignFlowError("The flow run has no deployment that names a flow of Easel.")
        if entrypoint not in ALLOWED:
            raise ForeignFlowError(
                f"{entrypoint[:200]!r} is not a flow of Easel, so this worker does not run it. "
                f"Its flows are {GENERATE} and {BULK}; for others use a worker of another type."
            )
        return ALLOWED[entrypoint]

    async def flow_of(self, client: PrefectClient, flow_run: FlowRun) -> Flow[..., Any]:
        """Returns the flow of the run's deployment. Raises ForeignFlowError."""
        name = await self.name_of(client, flow_run)
        if name not in self._flows:
            self._flows[name] = await asyncio.to_thread(
                load_flow_from_entrypoint, name, use_placeholder_flow=False
            )
        return self._flows[name]

    def forget_deployments(self) -> None:
        """Read each deployment again: they were registered anew."""
        self._entrypoints.clear()

    async def _entrypoint_of(self, client: PrefectClient, flow_run: FlowRun) -> str | None:
        """Returns the entrypoint of the run's deployment; None without a deployment."""
        if flow_run.deployment_id is None:
            return None
        known = self._entrypoints.get(flow_run.deployment_id)
        if known is None:
            try:
                deployment = await deployment_by_id(client, flow_run.deployment_id)
            except ObjectNotFound:
                return None
            known = self._entrypoints[flow_run.deployment_id] = deployment.entrypoint or ""
        return known
