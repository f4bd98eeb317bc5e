"""A whole Easel but for Prefect and ComfyUI: the real API process with its page, on a real store.

A worker of our own drives that store as the true one would, at a pace that a test decides.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

from PIL import Image as Pillow

from comfy.catalogue import Catalogue
from comfy.emulator.painting import Recipe, paint
from core.problems import Problem
from core.requests import ResolvedRequest
from flows.batches.rules import Finish, Pause, Release, next_step, window_end
from store.errors import ConflictError, StoreError, StoreUnavailableError
from store.generations import rows
from store.generations.acceptance import adopt
from store.images import NewImage
from store.store import Store
from store.values import (
    Batch,
    Claim,
    Generation,
    HistoryFilter,
    Holder,
    Preview,
    ProgressRecord,
    WorkerRecord,
)
from tests.browser.app import SCHEDULES_PATH, UNDO_PATH
from tests.harness.processes import free_port

COMFY_URL: Final = "http://127.0.0.1:9"  # the discard port: nobody answers
CATALOGUE: Final = Catalogue(
    checkpoints=("dreamshaper_8.safetensors", "sd_xl_base_1.0.safetensors"),
    samplers=("euler", "euler_ancestral", "dpmpp_2m", "dpmpp_sde"),
    schedulers=("normal", "karras", "simple"),
)
STARTED_WITHIN_S: Final = 120.0
_HELD_LOOK_S: Final = 0.1
_T = TypeVar("_T")


@dataclass
class Api:
    """The API's process; it can be stopped and started again at the same address."""

    home: Path
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
            "EASEL_COMFY__URL": COMFY_URL,
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
        asked = urllib.request.Request(
            f"{self.url}/api/v1/batches",
            json.dumps(request).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=STARTED_WITHIN_S) as answer:
            return str(json.load(answer)["batch_id"])

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
    """Does what is queued, one after the other. All methods may be called from the test's thread.

    ``step_s`` is the pace; ``hold`` keeps everything where it is, or lets it go as far as a step;
    ``failing`` is how the next generations end, if ``fails`` says so.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self.step_s = 0.02
        self.failing: Problem | None = None
        self.fails: Callable[[ResolvedRequest], bool] = lambda _request: True
        self._limit: int | None = None  # steps that a render may have done; None is all of them
        self._moving = asyncio.Lock()  # whoever moves a generation on has looked at the limit
        # One holder for all: what a busy database interrupted can be claimed once more.
        self._holder = Holder("gpu-1", uuid4(), COMFY_URL)
        self._one = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.store = Store(f"sqlite+aiosqlite:///{home / 'easel.db'}", str(home / "images"))
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._thread.start()
        self.run(self._open())

    def stop(self) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Do something with the store."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def hold(self, step: int = 0) -> None:
        """Until ``go_on``: every render stands still once it has done ``step`` steps.

        Without a step nothing is started, and what runs stays where it is. When this returns
        nothing moves any more that should not; a cancel is still obeyed.
        """
        self.run(self._hold(step))

    def go_on(self) -> None:
        """Everything goes on to its end."""
        self._limit = None

    def seed(self, request: ResolvedRequest) -> UUID:
        """A generation that was finished before anybody looked."""
        return self.run(self._seed(request))

    def clear(self) -> None:
        """Delete everything."""
        self.run(self._clear())

    # --- inside

    async def _open(self) -> None:
        await self.store.__aenter__()
        await self.store.registry.keep_catalogue(COMFY_URL, CATALOGUE.to_json())
        loops = (self._work(), self._dispatch(), self._conduct())
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self.store.__aexit__(None, None, None)

    async def _clear(self) -> None:
        for batch in (await self.store.batches.page(1000, None)).items:
            await self.store.batch_transitions.remove(batch.id)
        while page := (await self.store.generations.history(HistoryFilter(), 100, None)).items:
            for generation in page:
                await self.store.files.remove(await self.store.transitions.delete(generation.id))

    async def _hold(self, step: int) -> None:
        async with self._moving:
            self._limit = step

    def _may_move(self, done: int) -> bool:
        return self._limit is None or done < self._limit

    async def _work(self) -> None:
        while True:
            with contextlib.suppress(StoreError):  # deleted or cancelled meanwhile, or it is busy
                queued = [g for g in await self.store.generations.active() if g.status == "queued"]
                if queued and self._may_move(0):
                    async with self._one:
                        await self._render(min(queued, key=lambda g: g.seq))
            await asyncio.sleep(0.02)

    async def _dispatch(self) -> None:
        """What Prefect does: every generation gets its flow run; and the worker is alive."""
        while True:
            with contextlib.suppress(StoreError):  # it is busy: the next round does it
                await self._live()
                for generation in await self.store.generations.active():
                    if generation.status == "queued" and generation.flow_run_id is None:
                        await self._make_run(generation.id)
            await asyncio.sleep(0.05)

    async def _make_run(self, generation_id: UUID) -> None:
        """Beside the outbox, where the API's dispatcher waits for a Prefect that never comes."""
        async with self.store.database.write() as connection:
            row = await rows.locked(connection, generation_id)
            await rows.write(connection, row, flow_run_id=uuid4())

    async def _conduct(self) -> None:
        """What the bulk flow and the reconciler do: batches are begun, released and ended."""
        while True:
            for batch in await self._active():
                with contextlib.suppress(StoreError):  # it is busy, or somebody was quicker
                    await self._steer(batch)
            await asyncio.sleep(0.05)

    async def _active(self) -> tuple[Batch, ...]:
        with contextlib.suppress(StoreError):
            return await self.store.batches.active()
        return ()

    async def _steer(self, batch: Batch) -> None:
        transitions, now = self.store.batch_transitions, datetime.now(UTC)
        if batch.status == "cancelling":
            await self._cancel_children(batch)
            return
        if batch.status == "queued":
            batch = await transitions.start(
                batch.id,
                flow_run_id=batch.flow_run_id or uuid4(),
                deployment_id=None,
                holder=self._holder.lease,
                window_ends_at=window_end(batch.options, now),
            )
        step = next_step(batch, await self.store.batches.counts(batch), now)
        match step:
            case Release():
                await transitions.release(batch.id, step.most)
            case Pause():
                await transitions.pause(batch.id, step.waiting)
            case Finish():
                await transitions.finish(batch.id, step.to, step.problem)

    async def _cancel_children(self, batch: Batch) -> None:
        for child in await self.store.batches.active_children(batch.id):
            with contextlib.suppress(ConflictError):
                await self.store.transitions.request_cancel(child)
        if not await self.store.batches.active_children(batch.id):
            await self.store.batch_transitions.finish(batch.id, "cancelled")

    async def _live(self) -> None:
        now = datetime.now(UTC)
        await self.store.registry.record_worker(
            WorkerRecord("test", COMFY_URL, True, None, now, now)
        )

    async def _render(self, generation: Generation) -> None:
        claim = await self._begin(generation)
        if claim is None:
            return
        picture = await asyncio.to_thread(_picture, claim.request, 0)
        done: int | None = 0
        while done is not None:
            with contextlib.suppress(StoreUnavailableError):  # nothing was written: once more
                done = await self._go(claim, picture, done)

    async def _begin(self, generation: Generation) -> Claim | None:
        async with self._moving:
            generation = await self.store.generations.get(generation.id)
            if generation.status != "queued" or not self._may_move(0):
                return None
            claim = await self._claim(generation)
            await self.store.transitions.start(claim, datetime.now(UTC))
            return claim

    async def _go(self, claim: Claim, picture: Pillow.Image, done: int) -> int | None:
        """One step or the end; how many steps are done now, None when all is over.

        While it is held it says again and again where it is, as the true one does: a page that
        has the news in the wrong order is put right by the next.
        """
        async with self._moving:
            if moves := self._may_move(done):
                if done == claim.request.steps:
                    await self._end(claim)
                    return None
                done += 1
            status = await self._report(claim, picture, done)
        if status == "cancelling":
            await self.store.transitions.cancelled(claim)
            return None
        await asyncio.sleep(self.step_s if moves else _HELD_LOOK_S)
        return done

    async def _end(self, claim: Claim) -> None:
        if self.failing is not None and self.fails(claim.request):
            await self.store.transitions.fail(claim, self.failing)
        else:
            await self._finish(claim)

    async def _claim(self, generation: Generation) -> Claim:
        if generation.flow_run_id is None:
            raise ConflictError("not dispatched")
        return await self.store.transitions.claim(
            generation.id,
            flow_run_id=generation.flow_run_id,
            attempt=generation.attempt,
            holder=self._holder,
        )

    async def _report(self, claim: Claim, picture: Pillow.Image, step: int) -> str:
        if step == 0:
            return await self.store.transitions.status(claim)
        steps = claim.request.steps
        done = step / steps
        progress = ProgressRecord(
            percent=100 * done * 0.95,
            step=step,
            steps=steps,
            node="KSampler",
            nodes_done=4,
            nodes_total=7,
            preview=step,
        )
        return await self.store.transitions.record_progress(
            claim, progress, Preview(step, "image/jpeg", _blurred(picture, done)), None
        )

    async def _finish(self, claim: Claim) -> None:
        request = claim.request
        kept = []
        for position in range(request.batch_size):
            data = await asyncio.to_thread(_png, request, position)
            new = NewImage(data, request.width, request.height, "image/png", request.seed)
            kept.append(
                await self.store.files.keep(claim.generation_id, claim.attempt, position, new)
            )
        await self.store.transitions.succeed(claim, kept)

    async def _seed(self, request: ResolvedRequest) -> UUID:
        generation_id, flow_run_id = uuid4(), uuid4()
        async with self._one:
            made = await adopt(self.store.database, generation_id, request, flow_run_id)
            claim = await self._claim(made)
            await self.store.transitions.start(claim, datetime.now(UTC))
            await self._finish(claim)
        return generation_id


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


def _picture(request: ResolvedRequest, index: int) -> Pillow.Image:
    recipe = Recipe(
        request.prompt,
        request.negative_prompt,
        request.seed,
        request.steps,
        request.cfg,
        request.sampler,
        request.model,
        request.width,
        request.height,
    )
    return paint(recipe, index)


def _png(request: ResolvedRequest, index: int) -> bytes:
    return _encoded(_picture(request, index), "PNG")


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
def open_house(home: Path) -> Iterator[tuple[Api, Worker]]:
    """Both, running."""
    home.mkdir(parents=True, exist_ok=True)
    worker, api = Worker(home), Api(home)
    worker.start()
    try:
        api.start()
        yield api, worker
    finally:
        api.stop()
        worker.stop()
