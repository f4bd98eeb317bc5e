"""The whole of Easel with everything that a fault needs: failpoints, proxies, a second worker.

Worker and API reach ComfyUI and Prefect through a proxy each. Leases are short, so that what dies
is noticed within seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

import httpx
from PIL import Image
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Scheduled

from flows.prefect.runs import idempotency_key
from store.artefacts.files import ArtefactFiles
from store.audit import Audit, AuditFinding
from store.database import Database
from store.leases import RENEWALS
from tests.harness.clock import CAN_SHIFT, ClockShim
from tests.harness.emulator import EmulatorControl
from tests.harness.generations import BASE, FINAL, SMALL, GenerationHandle
from tests.harness.processes import Process, free_port
from tests.harness.proxy import FaultProxy
from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

LEASE_S: Final = 3.0
Part = Literal["api", "worker", "second", "third", "prefect", "comfyui"]
SETTLED_WITHIN_S: Final = 90.0
FREEZES_MAX: Final = 5
LOCK_LOOK_S: Final = 2.0
"""Longer than any transaction of ours takes; whoever has the lock for longer stands still."""


class ChaosStack(Stack):
    """A stack to be hurt. ``settle`` heals it again."""

    lasting: tuple[Part, ...] = ("worker", "api")
    """Parts that are brought back at once when they die."""

    def __init__(self, folder: Path, prefect_database: Path | None = None) -> None:
        self.failpoints = folder / "failpoints"
        self.failpoints.mkdir()
        self.clock = ClockShim(folder) if CAN_SHIFT else None
        super().__init__(folder, prefect_database)
        self._second = self._part("worker-2", *self._worker.command[1:], EASEL_WORKER__NAME="two")
        self.parts = (*self.parts, self._second)
        self.emulators: tuple[EmulatorControl, ...] = (self.emulator,)
        self._by_name: dict[Part, Process] = {
            "api": self._api,
            "worker": self._worker,
            "second": self._second,
            "prefect": self._server,
            "comfyui": self._comfy,
        }

    def _surroundings(self, prefect_port: int, comfy_port: int) -> dict[str, str]:
        self.to_comfy, self.to_prefect = FaultProxy(comfy_port), FaultProxy(prefect_port)
        for proxy in (self.to_comfy, self.to_prefect):
            proxy.__enter__()
        return {
            "EASEL_COMFY__URL": self.to_comfy.url,
            "EASEL_PREFECT__API_URL": f"{self.to_prefect.url}/api",
            "PREFECT_API_URL": f"{self.to_prefect.url}/api",
            "EASEL_FAILPOINTS": str(self.failpoints),
            "EASEL_RECOVERY__LEASE_S": str(LEASE_S),
            "EASEL_RECOVERY__LOOK_EVERY_S": "0.5",
            "EASEL_WORKER__NAME": "one",
            "EASEL_WEB__ENABLED": "false",
            "EASEL_WEBHOOKS__RETRY_AFTER_S": json.dumps([0.2, 0.5, *[1.0] * 300]),
            **(self.clock.env if self.clock is not None else {}),
        }

    # --- the whole

    def settle(self) -> None:
        """No fault any more; every part but the second worker is there; nothing is under way."""
        was_dead, beat = not self._worker.is_running, self._beat()
        self.heal()
        self._second.kill()
        super().settle()
        if was_dead:  # readyz also counts those that died a moment ago
            wait_until(lambda: self._beat() != beat, "the worker to live", within=SETTLED_WITHIN_S)
        wait_until(lambda: self._takes("worker one"), "the worker to take", within=SETTLED_WITHIN_S)

    def heal(self) -> None:
        """End every fault and bring back every part; what was under way goes on."""
        for armed in self.failpoints.iterdir():
            armed.unlink()
        if self.clock is not None:
            self.clock.shift(0)
        for proxy in (self.to_comfy, self.to_prefect):
            proxy.clear()
            proxy.unblock()
        for part in self.parts:
            if part.is_running:
                part.thaw()
        self.revive()
        wait_until(lambda: self.emulator.answers, "ComfyUI")
        wait_until(self._api_is_back, "the API")
        self.emulator.clear()

    def _api_is_back(self) -> bool:
        self._api.start()  # what was asked to stop may end only now
        return self._api_answers()

    def revive(self) -> None:
        """Start every part but the second worker that does not run."""
        for part in (self._comfy, self._server, self._api, self._worker):
            part.start()

    def stop(self) -> None:
        """End everything."""
        for part in self.parts:
            part.thaw()
        self._second.kill()
        super().stop()
        for proxy in (self.to_comfy, self.to_prefect):
            proxy.__exit__()

    def part(self, name: Part) -> Process:
        """A part by its name."""
        return self._by_name[name]

    def start_second_worker(self) -> None:
        """Another worker of the same pool, beside the same ComfyUI; return when it takes."""
        beat = self._beat("worker two")
        self._second.start()
        wait_until(
            lambda: self._beat("worker two") != beat and self._takes("worker two"),
            "the second worker",
            within=SETTLED_WITHIN_S,
        )

    def twin_of_worker(self) -> Process:
        """Another process that works under the first worker's name. Whoever starts it ends it."""
        return self._part("twin", *self._worker.command[1:])

    def twin_of_api(self) -> Process:
        """Another API on the same store, at a port of its own. Whoever starts it ends it."""
        port = str(free_port())
        command = [port if one == str(self.api.base_url.port) else one for one in self._api.command]
        # What both say of where they are is the same, as it is behind one proxy.
        shown = str(self.api.base_url).rstrip("/")
        more = {"EASEL_API__PORT": port, "EASEL_API__PUBLIC_URL": shown}
        return self._part("api-2", *command[1:], **more)

    def secret(self) -> str:
        """What signs the deliveries of callbacks."""
        with closing(sqlite3.connect(self.home / "easel.db", timeout=20)) as store:
            return str(store.execute("SELECT secret FROM webhook_secrets").fetchone()[0])

    def deliveries(self, **query: Any) -> list[dict[str, Any]]:
        """The newest deliveries of callbacks, as the API tells."""
        answer = self.api.get("/api/v1/deliveries", params={"limit": 100, **query})
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def wait_for_beats(self) -> None:
        """Return when the worker has lived for two leases, as the store tells."""
        before = self._beat()
        wait_until(lambda: self._beat() >= before + 2 * RENEWALS, "the worker to go on living")

    def _beat(self, name: str = "worker one") -> int:
        with sqlite3.connect(self.home / "easel.db") as store:
            found = store.execute("SELECT beat FROM leases WHERE name = ?", (name,))
            row = found.fetchone()
        return int(row[0]) if row else 0

    def _takes(self, name: str) -> bool:
        """Whether the process that has the worker's lease has begun to record that it lives."""
        with sqlite3.connect(self.home / "easel.db") as store:
            found = store.execute(
                "SELECT count(*) FROM workers JOIN leases ON workers.holder = leases.holder "
                "WHERE leases.name = ?",
                (name,),
            )
            return bool(found.fetchone()[0])

    def status_in_store(self, generation: GenerationHandle) -> str:
        """Its status, also while no API answers."""
        with closing(sqlite3.connect(self.home / "easel.db", timeout=20)) as store:
            found = store.execute(
                "SELECT status FROM generations WHERE id = ?", (UUID(generation.id).hex,)
            )
            return str(found.fetchone()[0])

    def untold(self) -> int:
        """Of how many attempts Prefect does not know yet how they ended."""
        with closing(sqlite3.connect(self.home / "easel.db", timeout=20)) as store:
            found = store.execute(
                "SELECT count(*) FROM attempts "
                "WHERE stages IS NOT NULL AND told_at IS NULL AND outcome IS NOT NULL"
            )
            return int(found.fetchone()[0])

    # --- failpoints

    def arm(self, name: str, action: str) -> None:
        """Let the next process that comes to the failpoint do ``action``."""
        (self.failpoints / f"{name}.struck").unlink(missing_ok=True)
        (self.failpoints / name).write_text(action, encoding="ascii")

    def wait_until_struck(self, name: str) -> None:
        """Return when a process has come to the failpoint."""
        wait_until((self.failpoints / f"{name}.struck").exists, f"the failpoint {name}")

    def struck_at(self, moment: str, action: str, seed: int) -> GenerationHandle:
        """A small generation in which a process has come to the failpoint.

        A worker that is slow to take it finds its flow run made, and makes none: then the next.
        """
        struck = self.failpoints / f"{moment}.struck"
        for turn in range(FREEZES_MAX):
            self.arm(moment, action)
            generation = self.create(**a_request(seed + turn))
            wait_until(
                lambda: struck.exists() or self.has_ended(generation),  # noqa: B023
                f"the failpoint {moment}",
                within=SETTLED_WITHIN_S,
            )
            if struck.exists():
                return generation
        raise AssertionError(f"no generation of {FREEZES_MAX} came to {moment}")

    def has_ended(self, generation: GenerationHandle) -> bool:
        """Whether it has, also while no API answers."""
        return self.status_in_store(generation) in FINAL

    def wait_until_dead(self, name: Part) -> None:
        """Return when a part that was struck has died."""
        wait_until(lambda: not self.part(name).is_running, f"the end of {name}")

    def wait_until_frozen(self, name: Part) -> None:
        """Return when a part that was struck stands still."""
        wait_until(lambda: self.part(name).is_frozen, f"{name} to stand still")

    def frozen_at(
        self, moment: str, seed: int, among: tuple[Part, ...] = ("worker",)
    ) -> tuple[GenerationHandle, Part]:
        """A small generation, and which of the parts stands still at that moment of it.

        Another thread of that process may be in the middle of a commit just then (its heartbeat).
        So stopped it holds SQLite's one lock, which is not promised (docs/reliability.md) and not
        what the case is about: then the next generation is stopped.
        """
        for turn in range(FREEZES_MAX):
            self.arm(moment, "stop")
            generation = self.create(**a_request(seed + turn))
            frozen = self._frozen_with(generation, moment, among)
            if not frozen:
                continue
            if self._store_is_free():
                return generation, frozen[0]
            self.part(frozen[0]).thaw()
            self.ends(generation)
        raise AssertionError(f"{FREEZES_MAX} times not stopped, or with the lock of the store")

    def _store_is_free(self) -> bool:
        with closing(sqlite3.connect(self.home / "easel.db", timeout=LOCK_LOOK_S)) as store:
            try:
                store.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            store.rollback()
        return True

    def _frozen_with(
        self, generation: GenerationHandle, moment: str, among: tuple[Part, ...]
    ) -> list[Part]:
        """Which one stands still; none when another made its flow run: see ``struck_at``."""
        frozen: list[Part] = []

        def stands_still() -> bool:
            frozen[:] = [name for name in among if self.part(name).is_frozen]
            return bool(frozen) or (moment.startswith("lead.") and self.has_ended(generation))

        wait_until(stands_still, f"one of {among} to stand still")
        return frozen

    # --- afterwards

    def ends(self, generation: GenerationHandle) -> str:
        """Its final status, within a minute and a half."""
        seen: dict[str, Any] = {}

        def ended() -> bool:
            answer = generation.get()
            if answer.status_code == 410:
                seen["status"] = "deleted"
            elif answer.is_success:
                seen.update(answer.json())
            return seen.get("status") in {*FINAL, "deleted"}

        wait_until(ended, lambda: f"the end of {generation}: {seen}", within=SETTLED_WITHIN_S)
        status: str = seen["status"]
        return status

    def ended(self, generations: Iterable[GenerationHandle]) -> int:
        """How many have ended."""
        return sum(generation.status()["status"] in FINAL for generation in generations)

    def check(self, generations: Iterable[GenerationHandle], *, incarnations: int = 1) -> None:
        """The invariants, once all has come to rest. Heal first.

        ``incarnations``: how many lives ComfyUI had while it did this; one render in each.
        """
        for generation in generations:
            ended = self.ends(generation)
            if ended == "deleted":
                wait_until(lambda: not self.kept_files(generation), "its files to go")  # noqa: B023
                continue
            self._check_final(generation, ended)
            for attempt in generation.attempts():
                renders = self.emulator.renders(attempt["prompt_id"])
                assert renders <= incarnations, f"{generation}: {renders} renders"
                # ComfyUI answers a copy from its cache, if it can: posting it is wrong already.
                posts = self.emulator.posts(attempt["prompt_id"])
                assert posts <= incarnations, f"{generation}: {posts} posts"
        self.wait_until_idle()
        assert self.audit() == []

    def audit(self) -> list[AuditFinding]:
        """Remove files that nobody wants, as the daily audit does; what is still wrong then."""

        async def look() -> list[AuditFinding]:
            async with Database(f"sqlite+aiosqlite:///{self.home / 'easel.db'}") as database:
                audit = Audit(database, ArtefactFiles(str(self.home / "images")))
                async for _ in audit.findings(repair=True, settle_s=0):
                    pass
                return [it async for it in audit.findings(repair=False, checksums=True, settle_s=0)]

        return asyncio.run(look())

    def wait_until_idle(self) -> None:
        """Return when neither ComfyUI nor Prefect has anything of ours under way."""
        wait_until(self._comfy_is_idle, "ComfyUI to have nothing of ours any more")
        wait_until(self._prefect_is_idle, self._still_under_way, within=SETTLED_WITHIN_S)

    def _check_final(self, generation: GenerationHandle, ended: str) -> None:
        document = generation.status()
        assert document["status"] == ended
        if ended == "succeeded":  # files of an attempt that died are the audit's
            self.check_pictures(generation)

    def check_pictures(self, generation: GenerationHandle) -> None:
        """Every picture is there and whole, and nothing else is kept."""
        images = generation.result()["images"]
        assert images, "succeeded without a picture"
        for image in images:
            data = self.api.get(image["url"]).content
            assert hashlib.sha256(data).hexdigest() == image["sha256"]
        assert len(self.kept_files(generation)) == 2 * len(images)

    def kept_files(self, generation: GenerationHandle) -> list[Path]:
        """Its pictures and thumbnails on the disk, without what was only begun."""
        files = self.home.glob(f"images/*/{generation.id}/*")
        return [path for path in files if path.suffix != ".tmp"]

    def _comfy_is_idle(self) -> bool:
        try:
            return not any(self.comfy_queues())
        except httpx.TransportError:  # it restarts, which a test has told it
            return False

    def comfy_queues(self) -> list[list[str]]:
        """The prompts that each ComfyUI still has, executing and waiting."""
        return [waiting for one in self.emulators for waiting in one.queue().values()]

    def _runs(self, *types: StateType) -> list[FlowRun]:
        wanted = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))
        return self.prefect.read_flow_runs(flow_run_filter=FlowRunFilter(state=wanted))

    def _under_way_in_prefect(self) -> list[str]:
        runs = self._runs(StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
        return [f"{run.name}: {run.state_name}" for run in runs]

    def runs_of(self, generation: GenerationHandle) -> list[FlowRun]:
        """The flow runs of its first attempt: none, or one."""
        key = FlowRunFilterIdempotencyKey(any_=[idempotency_key(UUID(generation.id), 1)])
        return self.prefect.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=key))

    def runs_under_way(self) -> list[str]:
        """The flow runs that Prefect has under way; none when it does not answer."""
        if not self._server.is_running or self._server.is_frozen:
            return []
        try:
            return [str(run.id) for run in self._runs(StateType.RUNNING, StateType.SCHEDULED)]
        except (httpx.HTTPError, OSError, PrefectHTTPStatusError):
            return []

    def resume_all(self) -> None:
        """Resume every flow run that an operator paused."""
        for run in self._runs(StateType.PAUSED):
            self.prefect.set_flow_run_state(run.id, Scheduled(name="Resuming"), force=True)

    def _prefect_is_idle(self) -> bool:
        return not self._under_way_in_prefect()

    def _still_under_way(self) -> str:
        return f"Prefect to have nothing under way: {self._under_way_in_prefect()}"


def a_request(seed: int) -> dict[str, Any]:
    """A small request that follows from the seed."""
    chance = random.Random(seed)
    return {
        "prompt": f"a {chance.choice(['fox', 'heron', 'lighthouse', 'tram'])} nr {seed}",
        **SMALL,
        "steps": chance.randint(3, 8),
        "batch_size": chance.choice([1, 1, 2]),
        "seed": seed,
    }


def post(stack: Stack, body: dict[str, Any], key: str | None = None) -> httpx.Response:
    """Create, whatever the answer is; httpx.TransportError when there is none."""
    headers = {"Idempotency-Key": key} if key is not None else {}
    return stack.api.post(f"{BASE}/create", json=body, headers=headers)


def is_whole(data: bytes) -> bool:
    """Whether it is a picture that decodes to its end."""
    import io

    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
    return True
