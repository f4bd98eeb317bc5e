"""Processor time of all that runs, by process; and what an idle Easel takes of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import psutil

from bench.figures import Figure
from bench.stack import Stack

IDLE_S: Final = 60.0
IDLE_MOST: Final = 0.03
"""The share of one core that an idle Easel may take."""


def processes(stack: Stack) -> Iterator[tuple[str, psutil.Process]]:
    """All of the stack's processes, each with what it is."""
    for one in map(psutil.Process, stack.pids):
        for process in (one, *one.children(recursive=True)):
            if process.is_running():
                yield _label(process), process


def spent(stack: Stack) -> dict[str, float]:
    """Returns the seconds of processor time so far, by what the process is."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for label, process in processes(stack):
        seconds[label] += cpu_s(process)
    return seconds


def cpu_s(process: psutil.Process) -> float:
    """Returns the seconds of processor time that a process has taken so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def api_of(stack: Stack) -> psutil.Process:
    """Returns the process of the API."""
    return next(process for label, process in processes(stack) if label == "api")


def per_generation(
    name: str, before: Mapping[str, float], after: Mapping[str, float], made: int, most: float
) -> list[Figure]:
    """Returns the figures of Easel's and Prefect's processes; the emulators stand for a GPU."""
    each = {label: (after[label] - before[label]) / made for label in after}
    painting = each.pop("emulator", 0.0)
    total = sum(each.values())
    return [
        Figure(name, f"{total * 1000:.0f} ms", f"≤ {most * 1000:.0f} ms", total <= most),
        *(Figure(f"      {label}", f"{each[label] * 1000:.0f} ms") for label in sorted(each)),
        Figure("      (emulator, not counted)", f"{painting * 1000:.0f} ms"),
    ]


async def idle(stack: Stack) -> list[Figure]:
    """Returns the share of a core that is taken while nothing is asked for."""
    before = spent(stack)
    await asyncio.sleep(IDLE_S)
    after = spent(stack)
    shares = {label: (after[label] - before[label]) / IDLE_S for label in after}
    shares.pop("emulator", None)
    total = sum(shares.values())
    return [
        Figure(
            f"(f) idle for {IDLE_S:.0f} s: share of a core",
            f"{total:.1%}",
            f"≤ {IDLE_MOST:.0%}",
            total <= IDLE_MOST,
        ),
        *(Figure(f"      {label}", f"{shares[label]:.1%}") for label in sorted(shares)),
    ]


def _label(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    for name, mark in (
        ("prefect server", "flows.prefect.server"),
        ("emulator", "comfy.emulator"),
        ("worker", "cli.main worker"),
        ("api", "cli.main api"),
    ):
        if mark in words:
            return name
    return "supervisor"
