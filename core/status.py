"""The six states of a generation, and the allowed transitions."""

from __future__ import annotations

from typing import Final, Literal

Status = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]

STATUSES: Final[tuple[Status, ...]] = (
    "queued",
    "running",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
)
FINAL: Final[frozenset[Status]] = frozenset({"succeeded", "failed", "cancelled"})
RETRYABLE: Final[frozenset[Status]] = frozenset({"failed", "cancelled"})

FOLLOWERS: Final[dict[Status, frozenset[Status]]] = {
    # queued -> succeeded: a worker finds what a worker that died had already rendered.
    "queued": frozenset({"running", "cancelling", "cancelled", "failed", "succeeded"}),
    # running -> queued: the worker stops and returns the run to the pool.
    "running": frozenset({"queued", "cancelling", "succeeded", "failed", "cancelled"}),
    # The picture may be finished before the cancel arrives: then it is kept, and it succeeded.
    "cancelling": frozenset({"cancelled", "succeeded", "failed"}),
    # Final, except for an explicit retry, which is a new attempt.
    "succeeded": frozenset(),
    "failed": frozenset({"queued"}),
    "cancelled": frozenset({"queued"}),
}


BatchStatus = Literal[
    "queued", "running", "paused", "cancelling", "succeeded", "failed", "cancelled"
]
"""The states of a batch: those of a generation, and ``paused``.

``failed``: it ended with a failed generation, or stopped itself.
"""
BATCH_ACTIVE: Final[frozenset[BatchStatus]] = frozenset(
    {"queued", "running", "paused", "cancelling"}
)


def is_final(status: Status) -> bool:
    """Returns whether only an explicit retry can change this status."""
    return status in FINAL
