"""The garbage collector of a process that runs for long.

A full collection looks at every object. With the few hundred thousand that Prefect, SQLAlchemy and
FastAPI are made of, it stops the process for half a second, again and again: measured in Prefect's
server, and each time the GPU waited.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 10, 20)
"""Instead of Python's (700, 10, 10): under load, a full collection each minute, not each second."""


def starting() -> None:
    """Collect nothing while a process starts: what is imported stays."""
    gc.disable()


def started() -> None:
    """Leave what is there by now out of all later collections, and collect seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
