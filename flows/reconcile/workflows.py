"""Keeps Prefect's deployments as the store has the workflows. It runs in the API's process."""

from __future__ import annotations

import logging
from typing import Any, Final

from core.loop import Loop
from core.requests import DEFAULT_WORKFLOW
from core.workflows.declaration import Workflow
from flows.errors import FlowsError
from flows.prefect.runs import FlowRuns
from flows.prefect.workflow_deployments import WorkflowDeployments
from flows.workflows import offered_workflows, workflow_named, workflow_names
from store.errors import StoreError
from store.store import Store

EVERY_S: Final = 60.0
FIRST_S: Final = 2.0
RETRY_S: Final = 3.0
"""Seconds until the next look after one that failed: at a first start the worker has yet to
register ``generate/comfyui``, which the others are copies of."""


class DeployedWorkflows:
    """Use as an async context manager; ``wake()`` after a change makes it look at once.

    A removed workflow's deployment stays until nothing waits for it.
    """

    def __init__(self, store: Store, runs: FlowRuns) -> None:
        self._store = store
        self._deployments = WorkflowDeployments(runs)
        self._loop = Loop(
            "registering workflows",
            self.look,
            every_s=EVERY_S,
            first_s=FIRST_S,
            retry_s=RETRY_S,
            expected=(FlowsError, StoreError),
            level=logging.DEBUG,
        )

    async def __aenter__(self) -> DeployedWorkflows:
        self._loop.start()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._loop.stop()

    def wake(self) -> None:
        """Look at once: a workflow was added, changed or removed."""
        self._loop.wake()

    async def look(self) -> None:
        """Register and remove what is due. Raises FlowsError and StoreError."""
        await self._deployments.keep(self._offered, self._wanted)

    async def _offered(self) -> list[Workflow]:
        every = await offered_workflows(self._store)
        return [one for one in every if one.name != DEFAULT_WORKFLOW]

    async def _wanted(self) -> set[str]:
        waiting = await self._store.generations.workflows_under_way()
        return {*await workflow_names(self._store), *waiting}

    async def register(self, name: str) -> bool:
        """Register a workflow, removed or not, for a generation of it. Returns False for none."""
        workflow = await workflow_named(self._store, name, hidden=True)
        if workflow is None or name == DEFAULT_WORKFLOW:
            return False
        await self._deployments.register(workflow)
        return True
