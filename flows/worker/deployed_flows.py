"""The flows of deployments, imported by their entrypoints."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint

from flows.prefect.stored_deployments import deployment_by_id


class DeployedFlows:
    """Reads each deployment once, and imports each flow once."""

    def __init__(self) -> None:
        self._entrypoints: dict[UUID, str] = {}
        self._flows: dict[str, Flow[..., Any]] = {}

    async def entrypoint_of(self, client: PrefectClient, flow_run: FlowRun) -> str | None:
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
        return known or None

    async def flow_of(self, client: PrefectClient, flow_run: FlowRun) -> Flow[..., Any]:
        """Returns the flow of the run's deployment. Raises unless it is an async flow."""
        entrypoint = await self.entrypoint_of(client, flow_run)
        if entrypoint is None:
            raise ValueError("the flow run has no deployment that says which flow it is")
        if entrypoint not in self._flows:
            flow: Flow[..., Any] = await asyncio.to_thread(
                load_flow_from_entrypoint, entrypoint, use_placeholder_flow=False
            )
            if not flow.isasync:
                raise TypeError(f"{entrypoint} is not an async flow")
            self._flows[entrypoint] = flow
        return self._flows[entrypoint]

    def forget_deployments(self) -> None:
        """Read each deployment again: they were registered anew."""
        self._entrypoints.clear()
