"""The slots of a worker: how many generations it has in ComfyUI at a time."""

from __future__ import annotations

from typing import Final
from uuid import UUID

KEEPING_MOST: Final = 4
"""Maximum still saving their outputs when another is taken: a full disk stops new work."""


class Slots:
    """``number`` may render at a time. What still saves its outputs has no slot any more.

    A holder is a generation, or a flow run that has none yet.
    """

    def __init__(self, number: int) -> None:
        self.number: Final = number
        self._rendering: set[UUID] = set()
        self._saving: set[UUID] = set()

    @property
    def has_room(self) -> bool:
        """Returns whether another one may begin."""
        return len(self._rendering) < self.number and len(self._saving) < KEEPING_MOST

    def take(self, holder: UUID) -> None:
        """Give it a slot."""
        self._rendering.add(holder)

    def rendered(self, holder: UUID) -> None:
        """Its prompt has left ComfyUI."""
        if holder in self._rendering:
            self._rendering.remove(holder)
            self._saving.add(holder)

    def free(self, holder: UUID) -> None:
        """It has ended. No-op for one that has no slot."""
        self._rendering.discard(holder)
        self._saving.discard(holder)
