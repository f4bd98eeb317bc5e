"""A progress bar of several colours: a batch's items made, failed, cancelled, under way."""

from __future__ import annotations

from typing import Final

from api.batches.documents import BatchDocument, CountsDocument
from web.batches.wording import under_way
from web.parts.elements import adorn, box

_PARTS: Final = ("succeeded", "failed", "cancelled", "under-way")


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
        for name, made in self._parts.items():
            share = 100 * _counted(document.counts, name) / max(1, document.total)
            made.style(f"--value: {share:.2f}%")


def _counted(counts: CountsDocument, name: str) -> int:
    if name == "under-way":
        return under_way(counts)
    gone = counts.deleted if name == "succeeded" else 0
    return int(getattr(counts, name)) + gone
