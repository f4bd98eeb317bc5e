"""A whole API on real sockets, its ComfyUI, and the worker's side of the store."""

from __future__ import annotations

import asyncio
import io
import socket
import sqlite3
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from uuid import UUID, uuid4

import httpx
import uvicorn
from PIL import Image as Pillow

from api.app import create_app
from api.connections import Connection
from comfy import ComfyClient
from comfy.emulator import Emulator, EmulatorOptions
from comfy.emulator.faults import Faults
from comfy.nodes import NodeCatalogue, packed
from core.batches.request import BatchOptions
from core.ids import OUTPUT_SUBFOLDER
from core.problems import Problem
from core.settings import (
    ApiSettings,
    ComfySettings,
    PrefectSettings,
    Settings,
    StoreSettings,
    UploadSettings,
    WebhookSettings,
)
from core.status import BatchStatus
from flows.models import look_at_models
from flows.nodes import look_at_nodes
from flows.prefect.declared import default_pool
from flows.prefect.gate import Gate
from flows.testing import NODE_FAILED, InProcessWorker
from store.generations.acceptance import IdempotencyKey
from store.store import Store
from store.values import Artefact, Claim, Holder, Preview, ProgressRecord, RenderedOutput, Waiting
from tests.api.documented import assert_documented
from tests.harness.statements import statements_of_requests
from tests.harness.waiting import wait_until

CREATE: Final = "/api/v1/generation/create"
HISTORY: Final = "/api/v1/generation/history"
BATCHES: Final = "/api/v1/batches"
SCHEDULES: Final = "/api/v1/schedules"
DELIVERIES: Final = "/api/v1/deliveries"
CHECKPOINTS: Final = ("painter-v1-5.safetensors", "painter-xl.safetensors")
"""One of each family; the first is the default."""
NODE_FAILED_DETAIL: Final = (
    "This model and these settings don't fit together (ComfyUI: mat1 and mat2 shapes cannot be "
    "multiplied). Choose another model: this one may be of a family that the workflow does not "
    "support."
)
"""What ``Worker.fail`` leaves in the row."""
_T = TypeVar("_T")


class Backstage:
    """An event loop in a thread: for servers, and for whatever tests do beside them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, _T], *, within: float = 30) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        async def begin() -> asyncio.Task[Any]:
            return asyncio.create_task(work)

        return self.run(begin())


class Service:
    """The API at ``url``. Its ``worker`` writes to the same database, as a real one does."""

    def __init__(
        self,
        backstage: Backstage,
        home: Path,
        comfy_url: str,
        prefect_url: str,
        *,
        default_model: str | None = None,
        paid_nodes: bool = False,
        public_url: str | None = None,
        reserve_mb: int = 0,
        max_manifest_bytes: int = 64_000_000,
        allowed_hosts: tuple[str, ...] = (),
        images_url: str | None = None,
        callbacks_to: tuple[str, ...] = (),
        uploads: Mapping[str, Any] | None = None,
    ) -> None:
        self._backstage = backstage
        # With its protocol said: asyncio switches Nagle's delay off only then.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.home = home
        self.settings = Settings(
            home=home,
            allowed_hosts=allowed_hosts,
            api=ApiSettings(
                port=self.port, public_url=public_url, max_manifest_bytes=max_manifest_bytes
            ),
            comfy=ComfySettings(url=comfy_url, default_model=default_model, paid_nodes=paid_nodes),
            prefect=PrefectSettings(api_url=prefect_url),
            store=StoreSettings(reserve_mb=reserve_mb, images_url=images_url),
            webhooks=WebhookSettings(allow=callbacks_to),
            uploads=UploadSettings(**(uploads or {})),
        )
        self.app = create_app(self.settings)
        self.client = httpx.Client(
            base_url=self.url,
            timeout=60,  # a batch of 20,000 is read while other tests run
            trust_env=False,
            event_hooks={"response": [assert_documented]},
        )

    def __enter__(self) -> Self:
        config = uvicorn.Config(
            self.app,
            http=Connection,
            log_config=None,
            access_log=False,
            ws="none",
            # As `easel api` has it. With uvicorn's 5 s a busy machine closes connections that a
            # client is just using again.
            timeout_keep_alive=60,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._serving = self._backstage.start(self._server.serve(sockets=[self._socket]))
        wait_until(lambda: self._server.started or self._serving.done())
        if self._serving.done():
            self._backstage.run(_ended(self._serving))
        self.worker = Worker(self._backstage, Store(self.settings.store_url, self.images_folder))
        self.worker.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.close()
        self.client.close()
        self._server.should_exit = True
        self._backstage.run(_ended(self._serving))
        self._socket.close()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return bool(self._server.server_state.tasks)

    @property
    def images_folder(self) -> str:
        return self.settings.images_url

    # --- over HTTP

    def create(self, prompt: str = "a red fox", **more: Any) -> dict[str, Any]:
        response = self.client.post(CREATE, json={"prompt": prompt, **more})
        assert response.status_code == 202, response.text
        document: dict[str, Any] = response.json()
        return document

    def created(self, prompt: str = "a red fox", **more: Any) -> UUID:
        return UUID(self.create(prompt, **more)["task_id"])

    def created_batch(self, *prompts: str, **more: Any) -> UUID:
        """A batch of these prompts (or of what ``more`` says)."""
        body = {"items": [{"prompt": prompt} for prompt in prompts]} if prompts else {}
        response = self.client.post(BATCHES, json={**body, **more})
        assert response.status_code == 202, response.text
        return UUID(response.json()["batch_id"])

    def batch(self, batch_id: UUID) -> dict[str, Any]:
        response = self.get(f"{BATCHES}/{batch_id}")
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        return document

    def items(self, batch_id: UUID, **query: Any) -> list[dict[str, Any]]:
        """The first page of its items."""
        response = self.get(f"{BATCHES}/{batch_id}/items", params={"limit": 100, **query})
        assert response.status_code == 200, response.text
        items: list[dict[str, Any]] = response.json()["items"]
        return items

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.client.get(path, **more)

    def status(self, task_id: UUID) -> dict[str, Any]:
        response = self.get(f"/api/v1/generation/status/{task_id}")
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        return document

    def of(self, task_id: UUID, what: str) -> str:
        """The path of something of a generation."""
        if what in ("status", "result"):
            return f"/api/v1/generation/{what}/{task_id}"
        return f"/api/v1/generation/{task_id}/{what}"

    def history(self) -> list[dict[str, Any]]:
        """The newest generations."""
        items: list[dict[str, Any]] = self.get(HISTORY).json()["items"]
        return items

    def deliveries(self, **query: Any) -> list[dict[str, Any]]:
        """The first page of those that are asked for."""
        response = self.get(DELIVERIES, params=query)
        assert response.status_code == 200, response.text
        items: list[dict[str, Any]] = response.json()["items"]
        return items

    # --- in the database

    def in_its_loop(self, work: Coroutine[Any, Any, _T]) -> _T:
        """What its parts do when they are asked without HTTP."""
        return self._backstage.run(work)

    def statements(self) -> AbstractContextManager[list[str]]:
        """What the API's requests execute meanwhile."""
        return statements_of_requests(self.app.state.context.facade.store.database)

    def count(self, table: str = "generations") -> int:
        """How many generations were ever accepted."""
        with self.database() as connection:
            (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert isinstance(found, int)
        return found

    def batch_counts(self) -> tuple[int, int]:
        """How many batches and items there are, seen or not."""
        return self.count("batches"), self.count("batch_items")

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.home / "easel.db", timeout=20)) as connection:
            yield connection
            connection.commit()


async def _ended(task: asyncio.Task[Any]) -> None:
    await task


class Worker:
    """``InProcessWorker``, to be driven from the test's own thread."""

    def __init__(self, backstage: Backstage, store: Store) -> None:
        self.run = backstage.run
        self.store = store
        self._worker = InProcessWorker(store)

    @property
    def holder(self) -> Holder:
        return self._worker.holder

    def open(self) -> None:
        self.run(self.store.__aenter__())

    def close(self) -> None:
        self.run(self.store.__aexit__(None, None, None))

    def keep_nodes(self, comfy_url: str, catalogue: NodeCatalogue) -> None:
        """Keep the node classes of a ComfyUI, as its worker does."""
        self.run(self.store.registry.keep_nodes(comfy_url, *packed(catalogue)))

    def keep_gate(self, gate: Gate) -> None:
        """Keep what an operator holds back in Prefect, as a worker does that sees it there."""
        self.run(self.store.registry.keep_gate(default_pool(), gate.to_json()))

    def claim(self, task_id: UUID) -> Claim:
        return self.run(self._worker.claim(task_id))

    def start(self, task_id: UUID) -> Claim:
        return self.run(self._worker.start(task_id))

    def progress(
        self,
        claim: Claim,
        percent: float,
        *,
        preview: Preview | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self.run(self._worker.progress(claim, percent, preview=preview, waiting=waiting))

    def announce(self, claim: Claim, *outputs: RenderedOutput) -> None:
        """Write that ComfyUI has finished these, as a worker does."""
        record = ProgressRecord(percent=90.0, rendered=outputs)
        self.run(self.store.transitions.record_progress(claim, record, None, None))

    def succeed(self, claim: Claim, *pictures: bytes) -> tuple[Artefact, ...]:
        """End it with these pictures, or with a small one."""
        return self.run(self._worker.succeed(claim, *(pictures or (png(),))))

    def finish(self, task_id: UUID, *pictures: bytes) -> tuple[Artefact, ...]:
        return self.succeed(self.start(task_id), *pictures)

    def fail(self, claim: Claim, error: Exception = NODE_FAILED) -> Problem:
        return self.run(self._worker.fail(claim, error))

    def cancel(self, claim: Claim) -> None:
        self.run(self._worker.cancel(claim))

    def is_fenced_out(self, claim: Claim) -> bool:
        return self.run(self._worker.is_fenced_out(claim))

    def begin_batch(self, batch_id: UUID, release: int = 0) -> list[UUID]:
        """What the batch's own flow run does at its start; the ids of its first generations."""
        return self.run(self._worker.begin_batch(batch_id, release))

    def release(self, batch_id: UUID, count: int) -> list[UUID]:
        """Make so many more of its items generations; the ids of all that are, in turn."""
        return self.run(self._worker.release(batch_id, count))

    def end_batch(self, batch_id: UUID, to: BatchStatus, why: Problem | None = None) -> None:
        self.run(self._worker.end_batch(batch_id, to, why))

    def half_accept(self, key: IdempotencyKey) -> UUID:
        """What an API leaves that was killed in the middle of a batch's create."""
        batch_id, transitions = uuid4(), self.store.batch_transitions
        self.run(transitions.begin(batch_id, "half", BatchOptions(), 7, key=key))
        return batch_id

    def appear(
        self,
        *,
        comfy_reachable: bool,
        name: str = "worker-1",
        comfy_url: str = "http://comfy.test:8188",
    ) -> None:
        """Say that a worker lives."""
        worker = InProcessWorker(self.store, name=name, comfy_url=comfy_url)
        self.run(worker.appear(comfy_reachable=comfy_reachable))

    def look_at(self, comfy_url: str) -> None:
        """Keep what a ComfyUI has, as its worker does."""
        self.run(_looked_at(self.store, comfy_url))

    def stop(self, name: str) -> None:
        """Say that a worker has stopped."""
        self.run(self.store.registry.worker_stopped(name))

    def leave(self) -> None:
        self.run(self._worker.leave())


async def _looked_at(store: Store, comfy_url: str) -> None:
    client = ComfyClient(comfy_url)
    try:
        await look_at_nodes(store, client)
        await look_at_models(store, client)
    finally:
        await client.aclose()


class Comfy:
    """The emulator on a backstage: what is offered, and whether it is there, can change."""

    def __init__(
        self, backstage: Backstage, models: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self._run = backstage.run
        self._emulator = Emulator(EmulatorOptions(checkpoints=CHECKPOINTS, models=models or {}))

    def __enter__(self) -> Self:
        self._run(self._emulator.start())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return self._emulator.url

    def stop(self) -> None:
        self._run(self._emulator.stop())

    @property
    def faults(self) -> Faults:
        return self._emulator.faults

    def output(self, filename: str) -> Path:
        """Where it has an output of Easel's prompts."""
        path = self._emulator.output_dir / OUTPUT_SUBFOLDER / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add_checkpoint(self, name: str) -> None:
        options = self._emulator.options
        self._emulator.options = replace(options, checkpoints=(*options.checkpoints, name))
        self._run(self._emulator.restart())

    def take_checkpoint(self, name: str) -> None:
        options = self._emulator.options
        left = tuple(known for known in options.checkpoints if known != name)
        self._emulator.options = replace(options, checkpoints=left)
        self._run(self._emulator.restart())


def closed_port() -> str:
    """An address where nobody listens: the discard port."""
    return "http://127.0.0.1:9"


def png(width: int = 64, height: int = 64, color: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The one shape of every error."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["code"] == code
    assert found["status"] == status
    assert found["type"] == f"urn:easel:problem:{code}"
    assert found["title"]
    assert found["detail"]
    assert str(UUID(found["request_id"])) == found["request_id"]
    for entry in found["errors"]:
        assert entry.keys() == {"loc", "code", "message"}
    return found
