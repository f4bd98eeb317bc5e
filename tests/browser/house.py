"""A whole Easel but for Prefect and ComfyUI: the real API process with its page, on a real store.

Its API may have a ComfyUI to ask what there is: an emulator, by its URL.

The in-process worker drives that store as the true one would, at a pace that a test decides.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from anyio.from_thread import start_blocking_portal
from PIL import Image as Pillow

from comfy import ComfyClient
from comfy.catalogue import Catalogue
from comfy.emulator.painting import Recipe, paint
from comfy.errors import ComfyError, ExecutionFailedError, OutOfMemoryComfyError
from core.requests import ResolvedRequest
from core.workflows.declaration import Workflow
from flows import pipeline
from flows.models import look_at_models
from flows.testing import InProcessWorker, ScriptedComfyUI
from store.store import Store
from store.values import Claim, HistoryFilter, Preview, ProgressRecord, RenderedOutput, WorkerRecord
from tests.browser.app import SCHEDULES_PATH, UNDO_PATH
from tests.browser.chromium import OWN_NAME
from tests.harness.processes import free_port

COMFY_URL: Final = "http://127.0.0.1:9"  # the discard port: nobody answers
CATALOGUE: Final = Catalogue(
    checkpoints=("dreamshaper_8.safetensors", "sd_xl_base_1.0.safetensors"),
    samplers=("euler", "euler_ancestral", "dpmpp_2m", "dpmpp_sde"),
    schedulers=("normal", "karras", "simple"),
)
STARTED_WITHIN_S: Final = 120.0
STUMBLED: Final = ExecutionFailedError("5", "KSampler", "stumbled", "RuntimeError")


@dataclass
class Api:
    """The API's process; it can be stopped and started again at the same address."""

    home: Path
    comfy_url: str = COMFY_URL
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
            "EASEL_HOME": str(self.home),
            "EASEL_API__PORT": str(self.port),
            "EASEL_ALLOWED_HOSTS": OWN_NAME,
            "EASEL_COMFY__URL": self.comfy_url,
            "EASEL_WEBHOOKS__ALLOW": '["127.0.0.0/8"]',
            "EASEL_WEBHOOKS__RETRY_AFTER_S": "[3600]",
            "EASEL_PREFECT__API_URL": "http://127.0.0.1:9/api",
            "EASEL_PREFECT__UI_URL": "http://127.0.0.1:9",
            "PREFECT_API_URL": "http://127.0.0.1:9/api",
            "PREFECT_HOME": str(self.home / "prefect"),
            "DO_NOT_TRACK": "1",
        }
        log = (self.home / "api.log").open("ab")
        command = [sys.executable, "-m", "uvicorn", "tests.browser.app:create_app"]
        command += ["--factory", "--port", str(self.port), "--no-access-log"]
        command += ["--timeout-graceful-shutdown", "1"]
        self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        log.close()
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + STARTED_WITHIN_S
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=10):
                    return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError((self.home / "api.log").read_text()[-3000:])

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None

    def undo_within(self, seconds: float | None) -> None:
        """How long a delete can be taken back; None is as for people. Empties the trash."""
        self._tell(UNDO_PATH if seconds is None else f"{UNDO_PATH}?seconds={seconds}")

    def schedules_there(self, there: bool) -> None:
        """Whether Prefect answers about schedules. It begins with none but its example."""
        self._tell(f"{SCHEDULES_PATH}?there=1" if there else SCHEDULES_PATH)

    def begin_batch(self, **request: Any) -> str:
        """A batch that somebody asks for elsewhere; its id."""
        return str(self._post("/api/v1/batches", request)["batch_id"])

    def create(self, **request: Any) -> str:
        """A generation that somebody asks for elsewhere; its id."""
        return str(self._post("/api/v1/generation/create", request)["task_id"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        asked = urllib.request.Request(
            f"{self.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=STARTED_WITHIN_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def batch(self, batch_id: str) -> dict[str, Any]:
        """How it stands."""
        path = f"{self.url}/api/v1/batches/{batch_id}"
        with urllib.request.urlopen(path, timeout=STARTED_WITHIN_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _tell(self, path: str) -> None:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=STARTED_WITHIN_S):
            pass

    def kept(self, session: str) -> dict[str, Any]:
        """What is on disk for the visitor with this session cookie: the form, earlier prompts."""
        visitor = json.loads(base64.b64decode(session.partition(".")[0]))["id"]
        path = self.home / "nicegui" / f"storage-user-{visitor}.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found


class Worker:
    """``InProcessWorker`` at work, in a thread of its own. Call it from the test's thread.

    ``failing`` is how the next generations end, if ``fails`` says so.
    """

    def __init__(self, home: Path, comfy_url: str = COMFY_URL) -> None:
        self._comfy_url = comfy_url
        self.failing: ComfyError | None = None
        self.fails: Callable[[ResolvedRequest], bool] = lambda _request: True
        self.comfy = ScriptedComfyUI(_Painter())
        self.comfy.failure = self._failure
        self.store = Store(f"sqlite+aiosqlite:///{home / 'easel.db'}", str(home / "images"))
        self._worker = InProcessWorker(self.store, self.comfy, name="gpu-1", comfy_url=comfy_url)
        self._stack = ExitStack()

    def start(self) -> None:
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._stack.enter_context(self._portal.wrap_async_context_manager(self.store))
        self._portal.call(self.store.registry.keep_catalogue, self._comfy_url, CATALOGUE.to_json())
        self._stack.enter_context(self._portal.wrap_async_context_manager(self._worker.at_work()))

    def stop(self) -> None:
        self._stack.close()

    def hold(self, step: int = 0) -> None:
        """See ``InProcessWorker.hold``."""
        self._portal.call(self._worker.hold, step)

    def go_on(self) -> None:
        """Everything goes on to its end."""
        self._portal.call(self._worker.go_on)

    def seed(self, request: ResolvedRequest) -> UUID:
        """A generation that was finished before anybody looked."""
        return self._portal.call(self._worker.make, request)

    def finish_with(self, task_id: str, file_name: str, data: bytes, node: str) -> None:
        """Finish a queued generation with a file of any kind, while nothing begins by itself."""
        self._portal.call(self._finish_with, UUID(task_id), file_name, data, node)

    async def _finish_with(self, task_id: UUID, file_name: str, data: bytes, node: str) -> None:
        claim = await self._worker.start(task_id)
        output = self.comfy.give_file(claim.prompt_id, file_name, data, node)
        await pipeline.save(self.store, self.comfy, claim, (output,))

    def announce(self, task_id: str, file_name: str) -> Claim:
        """Begin a queued generation: it has a preview, and ComfyUI has finished this output."""
        return self._portal.call(self._announce, UUID(task_id), file_name)

    async def _announce(self, task_id: UUID, file_name: str) -> Claim:
        claim = await self._worker.start(task_id)
        preview = Preview(1, "image/jpeg", _Painter().preview(claim.request, 0.5))
        rendered = (RenderedOutput("image", file_name, self._comfy_url),)
        record = ProgressRecord(percent=90, preview=1, rendered=rendered)
        await self.store.transitions.record_progress(claim, record, preview, None)
        return claim

    def keep(self, claim: Claim) -> None:
        """Finish what was announced."""
        self._portal.call(self._worker.succeed, claim)

    def look_at_models(self) -> None:
        """Find out what the files of the emulator are, as a worker does every two minutes."""
        self._portal.call(self._look_at_models)

    async def _look_at_models(self) -> None:
        client = ComfyClient(self._comfy_url)
        await look_at_models(self.store, client)
        await client.aclose()

    def record(self, worker: WorkerRecord) -> None:
        """Let another worker be registered."""
        self._portal.call(self.store.registry.record_worker, worker)

    def forget(self, worker: WorkerRecord) -> None:
        """Let no worker be registered that was seen last when this one was, or before."""
        just_after = worker.seen_at + timedelta(microseconds=1)
        self._portal.call(self.store.registry.forget_workers, just_after)

    def keep_callback(self, name: str, url: str) -> None:
        """Store a callback, as ``easel webhooks add`` does."""
        self._portal.call(self.store.callbacks.add, name, url)

    def keep_workflow(self, workflow: Workflow) -> None:
        """Store a workflow, as an import elsewhere does."""
        self._portal.call(self.store.workflows.add, workflow)

    def change_workflow(self, workflow: Workflow) -> None:
        """Store another version of one, as an edit elsewhere does."""
        self._portal.call(self._change_workflow, workflow)

    async def _change_workflow(self, workflow: Workflow) -> None:
        now = (await self.store.workflows.get(workflow.name)).workflow
        await self.store.workflows.change(workflow, now.version)

    def workflow(self, name: str) -> Workflow:
        """A workflow as it is stored now."""
        return self._portal.call(self.store.workflows.get, name).workflow

    def clear(self) -> None:
        """Delete everything."""
        self._portal.call(self._clear)

    async def _clear(self) -> None:
        for batch in (await self.store.batches.page(1000, None)).items:
            await self.store.batch_transitions.remove(batch.id)
        while page := (await self.store.generations.history(HistoryFilter(), 100, None)).items:
            for generation in page:
                await self.store.files.remove(await self.store.transitions.delete(generation.id))
        for name in await self.store.callbacks.names():
            await self.store.callbacks.remove(name)
        for name in await self.store.workflows.names():
            await self.store.workflows.hide(name)

    def _failure(self, request: ResolvedRequest) -> ComfyError | None:
        return self.failing if self.fails(request) else None


def out_of_memory(message: str) -> ComfyError:
    return OutOfMemoryComfyError("5", "KSampler", message, "torch.OutOfMemoryError")


def resolved(prompt: str, **values: Any) -> ResolvedRequest:
    """A request with every value."""
    given = {
        "negative_prompt": "",
        "workflow": "txt2img",
        "model": CATALOGUE.checkpoints[0],
        "width": 512,
        "height": 512,
        "steps": 20,
        "cfg": 7.0,
        "sampler": "euler",
        "scheduler": "normal",
        "seed": 7,
        "batch_size": 1,
        "priority": "interactive",
        "timeout_s": 600,
        "metadata": {},
    }
    return ResolvedRequest.model_validate({**given, **values, "prompt": prompt})


class _Painter:
    """As the emulator paints; a preview is the first picture, blurred."""

    def picture(self, request: ResolvedRequest, position: int) -> bytes:
        return _encoded(_painted(_recipe(request), position), "PNG")

    def preview(self, request: ResolvedRequest, done: float) -> bytes:
        return _blurred(_painted(_recipe(request), 0), done)


def _recipe(request: ResolvedRequest) -> Recipe:
    return Recipe(
        request.prompt,
        request.negative_prompt,
        request.seed or 0,
        request.steps or 1,
        request.cfg or 0.0,
        request.sampler,
        request.model,
        *(request.size or (512, 512)),
    )


@lru_cache(maxsize=8)
def _painted(recipe: Recipe, index: int) -> Pillow.Image:
    return paint(recipe, index)


def _blurred(picture: Pillow.Image, done: float) -> bytes:
    small = max(8, int(256 * done))
    return _encoded(
        picture.resize((small, max(8, small * picture.height // picture.width)))
        .resize((256, 256 * picture.height // picture.width))
        .convert("RGB"),
        "JPEG",
    )


def _encoded(picture: Pillow.Image, kind: str) -> bytes:
    data = io.BytesIO()
    picture.save(data, kind)
    return data.getvalue()


@contextmanager
def open_house(home: Path, comfy_url: str = COMFY_URL) -> Iterator[tuple[Api, Worker]]:
    """Both, running. ``comfy_url`` is that of an emulator, if there is one."""
    home.mkdir(parents=True, exist_ok=True)
    worker, api = Worker(home, comfy_url), Api(home, comfy_url)
    worker.start()
    try:
        api.start()
        yield api, worker
    finally:
        api.stop()
        worker.stop()
