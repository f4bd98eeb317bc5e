"""Which model a worker took last: ComfyUI does not tell what it has loaded."""

from __future__ import annotations

from collections.abc import Callable


def _ignore() -> None:
    pass


class LastModel:
    """``note`` it with whatever begins. ``on_change`` is called when it is another one."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = _ignore
        self.name: str | None = None

    def note(self, model: str | None) -> None:
        """Something begins that loads this model first; None or empty if that is not known."""
        if model and model != self.name:
            self.name = model
            self.on_change()
