"""A work pool with its queues and the deployment of generations, as an operator changes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from flows.prefect.declared import QUEUES
from flows.prefect.gate import Gate
from tests.flows.prefect_server import Server


class Pool:
    """One that exists in a real Prefect."""

    def __init__(self, server: Server, name: str) -> None:
        self.name = name
        self._server = server
        self._deployments: dict[str, str] = {}
        self._flow = server.post("/flows/", name="generate")
        self.register()

    def register(self) -> None:
        """Make the pool, its queues and the deployment, as a worker does."""
        self.id = self._server.post("/work_pools/", name=self.name, type="comfyui")
        for queue in QUEUES:
            self._server.post(f"/work_pools/{self.name}/queues", name=queue)
        self.deploy("comfyui")

    def deploy(self, name: str, **more: Any) -> None:
        """Make a deployment of the flow ``generate``."""
        # There may be one of that name, whose form another test declared.
        fields: dict[str, Any] = {"enforce_parameter_schema": False, **more}
        where = {"work_pool_name": self.name, "work_queue_name": "interactive"}
        self._deployments[name] = self._server.post(
            "/deployments/", name=name, flow_id=self._flow, **where, **fields
        )

    def change(self, place: str, **fields: Any) -> None:
        """Change the pool, a queue or the deployment."""
        paths = {
            "pool": f"/work_pools/{self.name}",
            "deployment": f"/deployments/{self._deployments['comfyui']}",
        }
        path = paths.get(place, f"/work_pools/{self.name}/queues/{place}")
        answer = self._server.http.patch(path, json=fields)
        assert answer.is_success, answer.text

    @property
    def deployment_id(self) -> UUID:
        """Of the deployment of generations."""
        return UUID(self._deployments["comfyui"])

    def limit_deployment(self, limit: int) -> None:
        """Give the deployment a concurrency limit."""
        self.deploy("comfyui", concurrency_limit=limit)

    def run(self) -> UUID:
        """Make a run of the deployment that is due."""
        path = f"/deployments/{self._deployments['comfyui']}/create_flow_run"
        return UUID(self._server.post(path))

    def remove(self) -> None:
        """Remove all of it: Prefect has lost its database."""
        for deployment in self._deployments.values():
            self._server.send("DELETE", f"/deployments/{deployment}")
        self._deployments.clear()
        self._server.send("DELETE", f"/work_pools/{self.name}")

    def named(self, gate: Gate) -> Gate:
        """The gate with this pool's name for POOL."""
        paused, limits = gate.paused, gate.limits
        words = None if paused.pool is None else paused.pool.replace("POOL", self.name)
        said = tuple(limit.replace("POOL", self.name) for limit in limits)
        return Gate(replace(paused, pool=words), said)


@contextmanager
def a_pool(server: Server) -> Iterator[Pool]:
    """One of the test's own: the server is shared."""
    pool = Pool(server, f"pool-{uuid4()}")
    try:
        yield pool
    finally:
        pool.remove()
