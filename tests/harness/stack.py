"""The whole of Easel as real processes: ComfyUI (the emulator), Prefect, the worker, the API."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.exceptions import ObjectNotFound

from flows.prefect.gate import Gate
from tests.harness.batches import BATCHES, OVER, BatchHandle
from tests.harness.databases import a_prefect_home
from tests.harness.emulator import EmulatorControl
from tests.harness.generations import BASE, SMALL, GenerationHandle
from tests.harness.processes import REPOSITORY, Process, environment, free_port
from tests.harness.waiting import wait_until

POOL: Final = "gpu"
STAGES: Final = ["build workflow", "submit", "poll", "save"]
"""The names of a generation's tasks."""
STEP_S: Final = 0.05
# Like `easel api` and `easel worker`: no garbage collection while modules are imported.
_START: Final = "from core import gc_tuning; gc_tuning.starting()"
_API: Final = f"{_START}; from uvicorn import main; main()"
_WORKER: Final = f"{_START}; from flows.worker.main import run_worker; run_worker({POOL!r})"


class Stack:
    """All parts on free ports, in a folder of their own. Parts may be killed and brought back.

    ``prefect_database``: what Prefect's begins as a copy of; None for an empty home.
    """

    def __init__(self, folder: Path, prefect_database: Path | None = None) -> None:
        if prefect_database is not None:
            a_prefect_home(folder / "prefect", prefect_database)
        self.home = folder / "home"
        self.prefect_home = folder / "prefect"
        self.comfy_output = folder / "output"
        self._folder = folder
        prefect_port, comfy_port, api_port = free_port(), free_port(), free_port()
        self.prefect_url = f"http://127.0.0.1:{prefect_port}/api"
        self.comfy_url = f"http://127.0.0.1:{comfy_port}"
        self.env = {
            **environment(
                EASEL_HOME=str(self.home),
                EASEL_API__PORT=str(api_port),
                EASEL_WORKER__DRAIN_S="0.3",
                EASEL_WEBHOOKS__ALLOW='["127.0.0.0/8"]',
                PREFECT_HOME=str(self.prefect_home),
                PREFECT_SERVER_ANALYTICS_ENABLED="false",
            ),
            **self._surroundings(prefect_port, comfy_port),
        }
        self._comfy = self._part(
            "comfyui",
            "-m", "comfy.emulator", "--port", str(comfy_port),
            "--output-dir", str(self.comfy_output), "--step-time", str(STEP_S),
        )  # fmt: skip
        self._server = self._part(
            "prefect", "-m", "flows.prefect.server", "--port", str(prefect_port)
        )
        self._api = self._part(
            "api", "-c", _API, "api.app:create_app", "--factory", "--no-access-log",
            "--timeout-keep-alive", "60", "--port", str(api_port),
        )  # fmt: skip
        self._worker = self._part("worker", "-c", _WORKER)
        self.parts: tuple[Process, ...] = (self._comfy, self._server, self._api, self._worker)
        self._connections = ExitStack()
        self.api = self._connections.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{api_port}", timeout=60)
        )
        self.emulator = EmulatorControl(f"http://127.0.0.1:{comfy_port}")
        self.prefect = self._connections.enter_context(SyncPrefectClient(self.prefect_url))

    def _surroundings(self, prefect_port: int, comfy_port: int) -> dict[str, str]:  # noqa: ARG002
        """How the parts find each other."""
        return {
            "EASEL_COMFY__URL": self.comfy_url,
            "EASEL_PREFECT__API_URL": self.prefect_url,
            "PREFECT_API_URL": self.prefect_url,
        }

    def _part(self, name: str, *arguments: str, **more: str) -> Process:
        return Process(name, [sys.executable, *arguments], {**self.env, **more}, self._folder)

    # --- the whole

    def start(self) -> None:
        """Start what does not run; return when pictures can be made."""
        for part in (self._server, self._comfy, self._api):
            part.start()
        self.start_prefect()
        self.start_worker()
        wait_until(self._is_ready, self._what_is_missing, within=150)

    def stop(self) -> None:
        """End all parts and connections."""
        self._connections.close()
        self.emulator.close()
        self._worker.kill()
        for part in (self._api, self._comfy, self._server):
            part.kill()

    def settle(self) -> None:
        """Between tests: no fault, nothing under way, every part there."""
        if self.emulator.answers:
            self.emulator.clear()
        self.start()
        for batch in self._batches_under_way():
            batch.do("cancel")
        wait_until(lambda: not self._batches_under_way(), "the end of a batch that was left")
        for generation in self._under_way():
            generation.cancel()
        wait_until(lambda: not self._under_way(), "the end of what a test left behind")

    def tails(self) -> list[tuple[str, str]]:
        """The end of each part's log."""
        return [(f"log of {part.name}", part.tail()) for part in self.parts]

    def _is_ready(self) -> bool:
        try:
            return self.api.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def _what_is_missing(self) -> str:
        dead = [f"{part.name} has died" for part in self.parts if not part.is_running]
        try:
            return f"readiness; {dead} {self.api.get('/readyz').text}"
        except httpx.HTTPError as error:
            return f"readiness; {dead} the API: {error!r}"

    def _under_way(self) -> list[GenerationHandle]:
        active = ["queued", "running", "cancelling"]
        page = self.api.get(f"{BASE}/history", params={"status": active, "limit": 100}).json()
        return [self.generation(item["task_id"]) for item in page["items"]]

    def _batches_under_way(self) -> list[BatchHandle]:
        page = self.api.get(BATCHES, params={"limit": 100}).json()
        return [self.batch(it["batch_id"]) for it in page["items"] if it["status"] not in OVER]

    # --- the parts

    def stop_comfy(self) -> None:
        """Kill ComfyUI: it forgets its queue and history, and keeps its files."""
        self._comfy.kill()

    def start_comfy(self) -> None:
        """Bring ComfyUI back (an emulator that counts from zero); return when it answers."""
        self._comfy.start()
        wait_until(lambda: self.emulator.answers, "ComfyUI")

    def stop_prefect(self) -> None:
        """Kill the Prefect server."""
        self._server.kill()

    def start_prefect(self) -> None:
        """Start the Prefect server; return when it answers."""
        self._server.start()
        wait_until(self._prefect_answers, "the Prefect server", within=120)

    def kill_worker(self) -> None:
        """As by ``kill -9``."""
        self._worker.kill()

    @property
    def worker_is_running(self) -> bool:
        """Whether the worker was started and has not ended."""
        return self._worker.is_running

    def terminate_worker(self) -> int:
        """As by ``kill``: it drains. Returns its exit code."""
        return self._worker.terminate()

    def start_worker(self) -> None:
        """Start the worker; it registers pool and deployment by itself."""
        self._worker.start()

    def kill_api(self) -> None:
        """As by ``kill -9``."""
        self._api.kill()

    def start_api(self) -> None:
        """Start the API; return when it answers."""
        self._api.start()
        wait_until(self._api_answers, "the API")

    def _prefect_answers(self) -> bool:
        try:
            return httpx.get(f"{self.prefect_url}/health").is_success
        except httpx.HTTPError:
            return False

    def _api_answers(self) -> bool:
        try:
            return self.api.get("/healthz").is_success
        except httpx.HTTPError:
            return False

    # --- what users do

    def create(self, prompt: str, **request: Any) -> GenerationHandle:
        """Ask for a small picture; AssertionError unless it is accepted."""
        answer = self.api.post(f"{BASE}/create", json={"prompt": prompt, **SMALL, **request})
        assert answer.status_code == 202, answer.text
        return self.generation(answer.json()["task_id"])

    def generation(self, task_id: str) -> GenerationHandle:
        """The generation of that id."""
        return GenerationHandle(self.api, self.emulator, task_id)

    def create_batch(self, **request: Any) -> BatchHandle:
        """Ask for a batch; AssertionError unless it is accepted. Its pictures are small."""
        defaults = {**SMALL, "steps": 1, **request.pop("defaults", {})}
        answer = self.api.post(BATCHES, json={"defaults": defaults, **request})
        assert answer.status_code == 202, answer.text
        return self.batch(answer.json()["batch_id"])

    def batch(self, batch_id: str) -> BatchHandle:
        """The batch of that id."""
        return BatchHandle(self.api, self.emulator, batch_id)

    @contextmanager
    def halfway(self, prompt: str, **request: Any) -> Iterator[GenerationHandle]:
        """A generation that ComfyUI has begun to sample and that stands still there.

        It goes on at the end of the block.
        """
        self.emulator.fault("hang", step=2)
        generation = self.create(prompt, **request)
        generation.wait_until_halfway()
        yield generation
        if self.emulator.answers:
            self.emulator.fault("release")

    def history(self, **query: Any) -> list[dict[str, Any]]:
        """A page of the history."""
        answer = self.api.get(f"{BASE}/history", params=query)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    # --- what operators do

    def flow_run(self, flow_run_id: str) -> FlowRun | None:
        """The flow run, None when Prefect has none of that id."""
        try:
            return self.prefect.read_flow_run(UUID(flow_run_id))
        except ObjectNotFound:
            return None

    def wait_for_flow_run(self, flow_run_id: str, state_name: str) -> FlowRun:
        """The flow run once its state has that name."""
        seen: list[str | None] = [None]

        def reached() -> FlowRun | None:
            run = self.flow_run(flow_run_id)
            seen[0] = run.state_name if run is not None else "gone"
            return run if run is not None and run.state_name == state_name else None

        found = wait_until(reached, lambda: f"flow run {state_name}; it is {seen[0]}")
        assert found is not None
        return found

    def wait_for_task_runs(self, flow_run_id: UUID, state_name: str) -> list[TaskRun]:
        """The four task runs of a generation's flow run in their order, once all are so."""
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))

        def reached() -> list[TaskRun] | None:
            found = self.prefect.read_task_runs(flow_run_filter=only)
            there = [run for run in found if run.state_name == state_name and run.start_time]
            return there if len(found) == len(there) == len(STAGES) else None

        found = wait_until(reached, f"four task runs {state_name}")
        return sorted(found or (), key=lambda run: (run.start_time, run.end_time))

    @contextmanager
    def concurrency_limit(self, limit: int) -> Iterator[None]:
        """The work pool's concurrency limit, of which the worker knows."""
        self._limit(limit)
        yield
        self._limit(None)

    def _limit(self, limit: int | None) -> None:
        self.prefect.update_work_pool(POOL, WorkPoolUpdate(concurrency_limit=limit))
        wait_until(
            lambda: bool(self.gate().limits) == (limit is not None),
            f"the worker to know of the limit {limit}",
        )

    def wait_for_pause(self, queue: str = "interactive") -> None:
        """Return when the worker knows that a queue is paused, or its pool."""
        wait_until(lambda: self.gate().paused.why(queue), f"the worker to know of {queue}")

    def gate(self) -> Gate:
        """What the worker last knew of what operators hold back."""
        with closing(sqlite3.connect(self.home / "easel.db")) as database:
            (gate,) = database.execute("SELECT value FROM gates").fetchone()
        return Gate.from_json(json.loads(gate))

    def prefect_cli(self, *arguments: str, cwd: Path = REPOSITORY) -> str:
        """Run the ``prefect`` command against this server; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout
