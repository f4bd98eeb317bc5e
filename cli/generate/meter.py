"""The progress of generations: live bars where the terminal can, plain lines where it cannot."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from cli.console import can_be_live, console_on, live_bars
from core.wording import brief, place_in_queue

_EVERY_PERCENT: Final = 25
"""Plain lines are for logs: one for each quarter is enough."""


class Meter(Protocol):
    """Shows status documents; ``number`` counts generations from 0."""

    def show(self, number: int, document: Mapping[str, Any]) -> None:
        """Show a generation's progress."""


@contextmanager
def open_meter(count: int) -> Iterator[Meter]:
    """Yields a meter for ``count`` generations, on stderr."""
    if not can_be_live(sys.stderr):
        yield PlainMeter(count)
        return
    with live_bars() as progress:
        tasks = [progress.add_task("waiting", total=100) for _ in range(count)]

        class _Bars:
            def show(self, number: int, document: Mapping[str, Any]) -> None:
                progress.update(
                    tasks[number], completed=percent(document), description=describe(document)
                )

        yield _Bars()


class PlainMeter:
    """A line for each change of status and each quarter."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._shown: dict[int, tuple[object, ...]] = {}
        self._console = console_on(sys.stderr)

    def show(self, number: int, document: Mapping[str, Any]) -> None:
        """Print a line if there is news."""
        waiting = document.get("waiting") or {}
        quarter = percent(document) // _EVERY_PERCENT
        key = (document["status"], quarter, waiting.get("code"))
        if self._shown.get(number) == key:
            return
        self._shown[number] = key
        which = f"{number + 1}/{self._count} " if self._count > 1 else ""
        self._console.print(f"{time.strftime('%H:%M:%S')} {which}{describe(document)}")


def percent(document: Mapping[str, Any]) -> float:
    """0 … 100."""
    if document["status"] == "succeeded":
        return 100.0
    return float((document.get("progress") or {}).get("percent") or 0.0)


def describe(document: Mapping[str, Any]) -> str:
    """Returns one line: status, progress, remaining time."""
    status, parts = document["status"], [str(document["status"])]
    if status == "queued":
        ahead = document.get("queue_position")
        parts += [place_in_queue(ahead)] if ahead is not None else []
        parts += [str(waiting["detail"])] if (waiting := document.get("waiting")) else []
    if status == "running":
        progress = document.get("progress") or {}
        parts += [f"{progress['percent']:.0f}%"] if progress.get("percent") else []
        if progress.get("steps"):
            parts.append(f"step {progress.get('step') or 0} of {progress['steps']}")
        elif progress.get("node"):
            parts.append(str(progress["node"]))
    eta = document.get("eta_s")
    if status in {"queued", "running"} and eta:
        parts.append(f"about {brief(eta)} left")
    return ", ".join(parts)
