"""The progress of a batch: a live bar where the terminal can, plain lines where it cannot."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from cli.bulk.follow import Show
from cli.console import can_be_live, console_on, live_bars
from core.wording import about

_EVERY_PERCENT: Final = 5
"""Plain lines are for logs, perhaps of a whole night: twenty are enough."""


@contextmanager
def open_batch_meter() -> Iterator[Show]:
    """Yields a meter for a batch's documents, on stderr."""
    if not can_be_live(sys.stderr):
        yield PlainBatchMeter().show
        return
    with live_bars() as progress:
        bar = progress.add_task("waiting", total=100)

        def show(document: Mapping[str, Any]) -> None:
            description = describe_batch(document)
            progress.update(bar, completed=document["percent"], description=description)

        yield show


class PlainBatchMeter:
    """A line for each change of status, for the first failure and for each twentieth."""

    def __init__(self) -> None:
        self._shown: tuple[object, ...] | None = None
        self._console = console_on(sys.stderr)

    def show(self, document: Mapping[str, Any]) -> None:
        """Print a line if there is news."""
        waiting = document.get("waiting") or {}
        part = document["percent"] // _EVERY_PERCENT
        failing = document["counts"]["failed"] > 0
        key = (document["status"], part, waiting.get("code"), failing)
        if self._shown == key:
            return
        self._shown = key
        self._console.print(f"{time.strftime('%H:%M:%S')} {describe_batch(document)}")


def describe_batch(document: Mapping[str, Any]) -> str:
    """Returns one line: status, how much is done, rate, remaining time."""
    counts, waiting = document["counts"], document.get("waiting")
    parts = [str(document["status"]), f"{counts['succeeded']}/{document['total']} done"]
    parts += [f"{counts['failed']} failed"] if counts["failed"] else []
    parts += [f"{counts['cancelled']} cancelled"] if counts["cancelled"] else []
    if document["status"] == "running":
        rate, eta = document.get("rate_per_minute"), document.get("eta_s")
        parts += [f"{rate:.3g} a minute"] if rate else []
        parts += [about(eta)] if eta else []
    parts += [str(waiting["detail"])] if waiting else []
    return ", ".join(parts)
