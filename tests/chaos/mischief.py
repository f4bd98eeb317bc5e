"""Faults at random, each with its cure: what the soak does to a house, and how often."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Final
from uuid import UUID

import httpx
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling, Paused, Scheduled

from core.failpoints import FAILPOINTS
from tests.chaos.house import ChaosStack, Part
from tests.harness.faults import Answer, BlackHole, CutReply, DropReply, Fault, Refuse, Rule

PROCESSES: Final[tuple[Part, ...]] = ("worker", "worker", "second", "api", "prefect")
STRUCK: Final = tuple(
    name
    for name in FAILPOINTS
    if name.startswith(("take", "lead", "submit", "track", "fetch", "save", "state", "deliver"))
)
SPOILED: Final[tuple[Fault, ...]] = (Refuse(), DropReply(), CutReply(5), Answer(502), BlackHole())


class Mischief:
    """Does harm in a house; ``cure`` brings back what it took away, after a while.

    ``at_once`` keeps how much is broken at one time within what a bad day has.
    """

    def __init__(self, house: ChaosStack, chance: random.Random, at_once: int = 3) -> None:
        self.done: Counter[str] = Counter()
        self.known: list[str] = []
        """Flow runs that operators may meddle with."""
        self._house = house
        self._chance = chance
        self._at_once = at_once
        self._processes = (*PROCESSES, *(one for one in house.lasting if one not in PROCESSES))
        self._cures: list[tuple[float, Callable[[], object]]] = []
        self._kinds: tuple[Callable[[], str | None], ...] = (
            self._kill,
            self._kill,
            self._freeze,
            self._strike,
            self._strike,
            self._spoil_comfy,
            self._spoil_prefect,
            self._break_line,
            self._restart_comfy,
            self._jump,
            self._lock,
            self._second_worker,
            self._meddle,
        )

    def do_one(self) -> None:
        """Some harm, unless enough is broken; what it was is counted."""
        if len(self._cures) < self._at_once:
            what = self._chance.choice(self._kinds)()
            if what is not None:
                self.done[what] += 1

    def cure(self) -> None:
        """Undo what has lasted long enough."""
        now = time.monotonic()
        due = [cure for at, cure in self._cures if at <= now]
        self._cures = [(at, cure) for at, cure in self._cures if at > now]
        for cure in due:
            cure()
        for name in self._house.lasting:  # struck at a failpoint
            part = self._house.part(name)
            if part.is_running and not part.is_frozen:
                continue
            if not part.is_running and not self._cures:
                part.start()

    def _after(self, least: float, most: float, cure: Callable[[], object]) -> None:
        self._cures.append((time.monotonic() + self._chance.uniform(least, most), cure))

    def _kill(self) -> str | None:
        name = self._chance.choice(self._processes)
        part = self._house.part(name)
        if not part.is_running:
            return None
        if self._chance.random() < 0.7:
            part.kill()
            self._after(0, 5, part.start)
            return f"kill -9 {name}"
        part.ask_to_stop()
        self._after(1, 6, part.start)
        return f"kill {name}"

    def _freeze(self) -> str | None:
        name: Part = self._chance.choice((*self._processes, "comfyui"))
        part = self._house.part(name)
        if not part.is_running:
            return None
        part.freeze()
        self._after(1, 10, part.thaw)
        return f"stop and wake {name}"

    def _strike(self) -> str:
        name = self._chance.choice(STRUCK)
        action = self._chance.choice(("kill", "kill", "stop", "term"))
        if action == "stop" and name == "state.before_commit":
            action = "kill"
        if name == "save.after_temporary" and self._chance.random() < 0.5:
            action = "full"
        self._house.arm(name, action)
        self._after(1, 8, self._wake_and_start)
        return f"{action} at {name}"

    def _wake_and_start(self) -> None:
        for part in self._house.parts:
            part.thaw()
        self._house.part("worker").start()

    def _spoil_comfy(self) -> str:
        fault = self._chance.choice(SPOILED)
        path = self._chance.choice(("/prompt", "/queue", "/history", "/view", "/ws"))
        self._house.to_comfy.add(Rule(fault, path=path, times=self._chance.randint(1, 3)))
        self._after(2, 8, self._house.to_comfy.clear)
        return f"{type(fault).__name__} on ComfyUI {path}"

    def _spoil_prefect(self) -> str:
        fault = self._chance.choice(SPOILED)
        times = None if isinstance(fault, Answer) else self._chance.randint(1, 10)
        self._house.to_prefect.add(Rule(fault, path="/api", times=times))
        self._after(1, 6, self._house.to_prefect.clear)
        return f"{type(fault).__name__} on Prefect"

    def _break_line(self) -> str:
        proxy = self._chance.choice((self._house.to_comfy, self._house.to_prefect))
        proxy.block()
        self._after(0, 5, proxy.unblock)
        return "line to ComfyUI" if proxy is self._house.to_comfy else "line to Prefect"

    def _restart_comfy(self) -> str | None:
        if self._house.part("comfyui").is_frozen:
            return None
        self._house.emulator.fault("restart")
        return "restart ComfyUI"

    def _jump(self) -> str | None:
        if self._house.clock is None:
            return None
        clock = self._house.clock
        clock.shift(self._chance.choice((-7200, -60, 60, 7200)))
        self._after(1, 8, partial(clock.shift, 0))
        return "clock jumps"

    def _lock(self) -> str:
        with closing(
            sqlite3.connect(self._house.home / "easel.db", timeout=5, isolation_level=None)
        ) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return "database already locked"
            time.sleep(self._chance.uniform(0.1, 2))
            other.execute("ROLLBACK")
        return "lock the database"

    def _second_worker(self) -> str | None:
        if "second" in self._house.lasting:
            return None
        self._house.part("second").start()
        self._after(5, 20, self._house.part("second").ask_to_stop)
        return "a second worker"

    def _meddle(self) -> str | None:
        if not self.known:
            return None
        run, what = UUID(self._chance.choice(self.known)), self._chance.choice(("c", "d", "p"))
        client = self._house.prefect
        try:
            if what == "c":
                client.set_flow_run_state(run, Cancelling())
            elif what == "d":
                client.delete_flow_run(run)
            else:
                found = self._house.flow_run(str(run))
                if found is None or found.state is None or not found.state.is_running():
                    return None
                client.set_flow_run_state(run, Paused(name="Suspended"), force=True)
                self._after(2, 8, partial(self._resume, run))
        except (ObjectNotFound, httpx.HTTPError, OSError):
            return None
        return {"c": "operator cancels", "d": "operator deletes", "p": "operator pauses"}[what]

    def _resume(self, run: UUID) -> None:
        try:
            found = self._house.flow_run(str(run))
            if found is not None and found.state is not None and found.state.is_paused():
                self._house.prefect.set_flow_run_state(run, Scheduled(name="Resuming"), force=True)
        except (httpx.HTTPError, OSError):  # Prefect is away: an operator tries again
            self._after(2, 8, partial(self._resume, run))
