"""What a generation gets in another way than it was asked for: quietly, beside it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final
from uuid import UUID

from api.generations.documents import StatusDocument
from core.requests import StoredRequest, UnreadableRequest
from web.parts.elements import Text, adorn, box, hear_fold, icon
from web.parts.wording import sentence

TOLD: Final = 2
"""So many are said in passing; the generation has them all."""


_IN_FORMS: Final = frozenset({"family_guessed"})
"""What the form says of a model all the time."""


def notices_of(request: StoredRequest, *, but: Container[str] = _IN_FORMS) -> list[str]:
    """Returns them as sentences, each once, without those of the codes ``but``."""
    if isinstance(request, UnreadableRequest):
        return []
    told = (one for one in request.plan.notices if one.code not in but)
    return list(dict.fromkeys(sentence(one.message) for one in told))


class Notices:
    """Beside a form: of several only their number at first, until they are opened.

    They stay open when they are built again for the same generation.
    """

    def __init__(self) -> None:
        self._open: UUID | None = None

    def build(self, document: StatusDocument) -> None:
        """Show them, none if there are none."""
        said = notices_of(document.request)
        if len(said) < 2:
            _build_all(said)
            return

        def fold(is_open: bool) -> None:
            self._open = document.task_id if is_open else None

        with box("fold notices", "details", open=document.task_id == self._open) as root:
            hear_fold(root, fold)
            with box("fold-head", "summary"):
                icon("chevron")
                Text(f"{len(said)} notes")
            _build_list(said)


def build_notices(document: StatusDocument) -> None:
    """Show them all, none if there are none."""
    _build_all(notices_of(document.request, but=()))


def in_passing(said: Sequence[str]) -> str:
    """Returns what is told of them where they are not shown themselves."""
    more = len(said) - TOLD
    return " ".join((*said[:TOLD], *((f"And {more} more notes.",) if more > 0 else ())))


def _build_all(said: Sequence[str]) -> None:
    if said:
        _build_list(said)


def _build_list(said: Sequence[str]) -> None:
    with box("notice-list", "ul", aria_label="Notes"):
        for text in said:
            adorn(Text(text, "field-note", "li"), dir="auto")
