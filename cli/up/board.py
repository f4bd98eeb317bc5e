"""What `easel up` shows: a line for each part while it starts, news afterwards."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.console import can_be_live, console_on
from cli.up.part import Part

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Board:
    """The reporter of a supervisor. Where lines cannot be redrawn, each is printed with its time.

    A terminal that went away (its window was closed) must not keep the parts from being stopped.
    """

    def __init__(self) -> None:
        self.live = can_be_live(sys.stdout)
        self._console = console_on(sys.stdout)
        self._progress: Progress | None = None
        self._rows: dict[str, TaskID] = {}

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line unchanged."""
        with contextlib.suppress(OSError):
            self._console.print(text, style=style or None)

    def news(self, text: str, style: str = "") -> None:
        """Print a line with its time."""
        self.line(f"{time.strftime('%H:%M:%S')} {text}", style)

    def warn(self, text: str) -> None:
        """Print a highlighted line."""
        self.line(text, "bold yellow")

    @contextmanager
    def rows(self, parts: Sequence[Part]) -> Iterator[None]:
        """While the block runs, each part has a row that is redrawn."""
        if not self.live:
            yield
            return
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description:<18}", markup=False),
            TextColumn("{task.fields[says]}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            self._progress = progress
            self._rows = {
                part.name: progress.add_task(part.title, total=1, says="starting") for part in parts
            }
            try:
                yield
            finally:
                self._progress = None

    def stopping(self) -> None:
        """From now on parts end on request."""
        self.news("stopping …")

    def starting(self, part: Part) -> None:
        """The part's process was started."""
        if self._progress is not None:
            self._progress.update(self._rows[part.name], says="starting")
        else:
            self.news(f"{part.title}: starting")

    def ready(self, part: Part, seconds: float) -> None:
        """The part is ready."""
        if self._progress is not None:
            self._progress.update(self._rows[part.name], says=part.address, completed=1)
        else:
            self.news(f"{part.title}: ready after {seconds:.1f} s, {part.address}")

    def died(self, part: Part, how: str, delay_s: float) -> None:
        """The part ended unexpectedly and is restarted."""
        self.news(f"{part.title} {how}; it starts again in {delay_s:g} s.", "bold yellow")
        self.last_words(part)

    def stopped(self, part: Part) -> None:
        """The part was stopped as requested."""
        self.news(f"{part.title}: stopped")

    def last_words(self, part: Part) -> None:
        """Print the end of a part's log, and where the rest is."""
        for line in part.log.tail():
            self.line(f"    {line}")
        self.line(f"    All of it: {part.log.path}")
