"""Waiting for something to become so, in place of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

PATIENCE_S: Final = 120.0
"""Long enough for a busy machine: only a test that fails ever waits so long."""
_PAUSES_S: Final = (0.01, 0.25)
"""Between two looks, at first and later on: a look may cost a part of the stack a request."""
_Found = TypeVar("_Found")


def wait_until(
    condition: Callable[[], _Found],
    what: str | Callable[[], object] = "it",
    *,
    within: float = PATIENCE_S,
) -> _Found:
    """Ask until the answer is truthy, and return it. AssertionError when it never is."""
    deadline, (pause, longest) = time.monotonic() + within, _PAUSES_S
    while not (found := condition()):
        if time.monotonic() > deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {within:g} s in vain for: {said}")
        time.sleep(pause)
        pause = min(1.2 * pause, longest)
    return found
