"""Output: results to stdout, everything else to stderr, failures as one paragraph."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

OK: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130
_UNWRAPPED: Final = 300
"""Columns of a table in a file or a pipe, whose lines are not wrapped."""


class CommandError(Exception):
    """An expected failure: a paragraph that says what is wrong and what to do next."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def can_be_live(stream: TextIO) -> bool:
    """Returns whether lines on this stream may be redrawn and coloured."""
    return (
        stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") not in {"dumb", "unknown"}
    )


def console_on(stream: TextIO) -> Console:
    """Returns a console that prints text unchanged: prompts and paths may hold square brackets."""
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            """The reader is gone: print nothing more, but end in good order."""
            self.quiet = True

    live = can_be_live(stream)
    return Quiet(
        file=stream,
        force_terminal=live,
        no_color=not live,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
        width=None if live else _UNWRAPPED,
    )


def live_bars() -> Progress:
    """Returns progress bars on stderr, to be entered; only where it ``can_be_live``."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

    return Progress(
        SpinnerColumn(finished_text="✓"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TextColumn("{task.description}", markup=False),
        console=console_on(sys.stderr),
    )


def report_failure(message: str) -> None:
    """Print a failure on stderr."""
    console_on(sys.stderr).print(f"easel: {message}", style="red")
