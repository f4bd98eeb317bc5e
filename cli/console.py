"""Output: results to stdout, everything else to stderr, failures as one paragraph."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TextIO

from core.text import STEERING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.progress import Progress
    from rich.segment import Segment

OK: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130
_UNWRAPPED: Final = 300
"""Columns of a table in a file or a pipe, whose lines are not wrapped."""
_REPLACED: Final = "easel"
"""The name of the codec error handler that prints a substitute for each missing character."""
_SUBSTITUTES: Final = {
    "✓": "+",
    "✗": "x",
    "×": "x",
    "→": "->",
    "…": "...",
    "·": "-",
    "–": "-",
    "—": "-",
    "’": "'",
    **dict.fromkeys("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "*"),  # rich's spinner
}


class CommandError(Exception):
    """An expected failure: a paragraph that says what is wrong and what to do next."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def open_streams() -> None:
    """Let stdout and stderr print any text, also where their encoding has no character for it.

    A terminal or a pipe may be cp1252, gbk or ASCII, and a file's name may not be UTF-8.
    """
    codecs.register_error(_REPLACED, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_REPLACED)


def close_streams() -> None:
    """Flush them for the last time. A reader that is gone (``| head``) is no error."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # a process without a console, on Windows
            continue
        try:
            stream.flush()
        except OSError:
            _discard(stream)


def _discard(stream: TextIO) -> None:
    """Send what is still buffered nowhere, else the interpreter complains of it at its end."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_SUBSTITUTES.get(each, "?") for each in missing), error.end


def printable(text: str) -> str:
    """Returns the text without what would steer the terminal it is printed on."""
    return STEERING.sub("", text)


def can_be_live(stream: TextIO) -> bool:
    """Returns whether lines on this stream may be redrawn and coloured."""
    return (
        stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") not in {"dumb", "unknown"}
    )


def console_on(stream: TextIO) -> Console:
    """Returns a console without markup: prompts and paths may hold square brackets.

    Whatever is printed on it is ``printable``: files, the API and ComfyUI send what they like.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Quiet(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else printable(text), style, control)

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
