"""A progress bar of several colours: a batch's items done, failed, cancelled, running."""

from __future__ import annotations

from typing import Final

from api.batches.documents import BatchDocument, CountsDocument
from web.parts.elements import adorn, box

_PARTS: Final = ("succeeded", "failed", "cancelled", "running")
"""What only waits is the track: nothing has been done for it yet."""


class Bar:
    """``show`` updates it."""

    def __init__(self, label: str) -> None:
        self.root = box("bar-parts", role="progressbar", aria_valuemin=0, aria_valuemax=100)
        adorn(self.root, aria_label=label)
        with self.root:
            self._parts = {name: box(f"bar-part is-{name}") for name in _PARTS}

    def show(self, document: BatchDocument) -> None:
        """Update it; only changes are sent to the browser."""
        adorn(self.root, aria_valuenow=round(document.percent))
        for name, share in shares(document.counts, document.total).items():
            self._parts[name].style(f"--value: {share:.2f}%")


def shares(counts: CountsDocument, total: int) -> dict[str, float]:
    """Returns the percents of the bar's parts."""
    return {name: 100 * _counted(counts, name) / max(1, total) for name in _PARTS}


def _counted(counts: CountsDocument, name: str) -> int:
    if name == "running":
        return counts.running + counts.cancelling
    gone = counts.deleted if name == "succeeded" else 0
    return int(getattr(counts, name)) + gone
