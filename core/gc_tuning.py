"""The garbage collector of a long-running process.

A full collection looks at every object. With the few hundred thousand that Prefect, SQLAlchemy and
FastAPI are made of, it stops the process for half a second, again and again: measured in Prefect's
server, and each time the GPU was idle.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 10, 20)
"""Instead of Python's (700, 10, 10): under load, a full collection each minute, not each second."""


def starting() -> None:
    """Disable collection while the process starts: imported objects stay."""
    gc.disable()


def started() -> None:
    """Exclude all current objects from later collections, and collect rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
