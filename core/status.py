"""The six words for what a generation is doing, and which may follow which."""

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
    # queued -> succeeded: a worker finds what another one had rendered before it died.
    "queued": frozenset({"running", "cancelling", "cancelled", "failed", "succeeded"}),
    # running -> queued: the worker stops and gives the run back to the pool.
    "running": frozenset({"queued", "cancelling", "succeeded", "failed", "cancelled"}),
    # The picture may be finished before the cancel arrives: then it is kept, and says so.
    "cancelling": frozenset({"cancelled", "succeeded", "failed"}),
    # Final is final, but for an explicit retry, which is a new attempt.
    "succeeded": frozenset(),
    "failed": frozenset({"queued"}),
    "cancelled": frozenset({"queued"}),
}


BatchStatus = Literal[
    "queued", "running", "paused", "cancelling", "succeeded", "failed", "cancelled"
]
"""The words for a batch: those of a generation, and ``paused``.

``failed``: it ended with a generation that failed, or stopped itself.
"""
BATCH_ACTIVE: Final[frozenset[BatchStatus]] = frozenset(
    {"queued", "running", "paused", "cancelling"}
)


def is_final(status: Status) -> bool:
    """Whether nothing but an explicit retry can change this status."""
    return status in FINAL
