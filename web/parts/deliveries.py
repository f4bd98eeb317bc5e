"""Deliveries as items of a list: how each stands, its tries, and a button that sends it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from api.deliveries.documents import DeliveryDocument, TryDocument
from store.callbacks.values import DELIVERY_STATES, DeliveryState
from web.parts.clock import created_words, known_zone, moments_words, second_words
from web.parts.elements import Text, adorn, box, icon, show_if
from web.parts.wording import sentence

STATE_WORDS: Final[dict[DeliveryState, str]] = {
    "pending": "Pending",
    "delivered": "Delivered",
    "failed": "Failed",
    "dropped": "Dropped",
}
_ICONS: Final[dict[DeliveryState, str]] = {
    "pending": "clock",
    "delivered": "check",
    "failed": "close",
    "dropped": "minus",
}
Redeliver = Callable[[UUID], Awaitable[None]]


def is_due(document: DeliveryDocument) -> bool:
    """Returns whether it is being sent, or about to be."""
    return document.state == "pending" and not _waits(document)


def _waits(document: DeliveryDocument) -> bool:
    return document.next_try_at is not None and document.next_try_at > datetime.now(UTC)


def receiver_of(document: DeliveryDocument) -> str:
    """Returns the name of its stored callback, else its receiver's host."""
    return document.callback or document.host


def is_troubled(document: DeliveryDocument) -> bool:
    """Returns whether it is given up, or its last try has failed."""
    return document.state == "failed" or (document.state == "pending" and bool(document.tries))


def sum_words(documents: Sequence[DeliveryDocument]) -> str:
    """Returns how many are in each state: "1 failed, 2 delivered"."""
    states = [document.state for document in documents]
    return ", ".join(
        f"{states.count(state):,} {STATE_WORDS[state].lower()}"
        for state in DELIVERY_STATES
        if state in states
    )


class DeliveryRow:
    """One delivery. ``show`` updates it in place: what is unfolded or focused stays."""

    def __init__(
        self,
        document: DeliveryDocument,
        redeliver: Redeliver,
        *,
        links_image: bool,
        names_receiver: bool,
    ) -> None:
        self.document = document
        self._to = f"to {receiver_of(document)} · " if names_receiver else ""
        self._redeliver = redeliver
        self._asking = False
        self._state: DeliveryState | None = None
        self._tries: tuple[str | None, list[TryDocument]] = (None, [])
        self.root = box("delivery", "li")
        with self.root:
            with box("delivery-top"):
                with box("delivery-said"):
                    with box("delivery-head"):
                        self._mark = box("delivery-mark", "span")
                        self._word = Text("", "delivery-state")
                        Text(document.type, "code")
                    with box("delivery-when"):
                        self._when = Text("", "muted small")
                        if links_image and document.task_id is not None:
                            with box("link", "a", href=f"/g/{document.task_id}"):
                                Text("Open image")
                self._build_button()
            self._next = Text("", "small is-away", "p")
            self._reason = adorn(Text("", "is-away", "p"), dir="auto")
            self._build_tries()
        self.show(document)

    def show(self, document: DeliveryDocument) -> None:
        """Update it; only changes are sent to the browser."""
        self.document = document
        if document.state != self._state:
            self._state = document.state
            self._word.text = STATE_WORDS[document.state]
            self.root.classes(replace=f"delivery is-{document.state}")
            self._mark.clear()
            with self._mark:
                icon(_ICONS[document.state])
        self._when.text = f"{self._to}{created_words(document.created_at)}"
        self._show_outlook(document)
        self._show_button(document)
        tries = known_zone(), document.tries
        if tries != self._tries:
            self._tries = tries
            self._show_tries(document.tries)

    def _show_outlook(self, document: DeliveryDocument) -> None:
        """Show when it is tried again, and why it had to be."""
        ahead = _next_words(document)
        self._next.text = ahead
        show_if(self._next, ahead)
        reason = sentence(document.reason) if document.reason else ""
        self._reason.text = reason
        self._reason.classes(replace="muted small" if document.state == "dropped" else "detail")
        show_if(self._reason, reason and document.state != "delivered")

    # --- sending it again

    def _build_button(self) -> None:
        self._button = box("btn btn-small", "button", type="button")
        with self._button:
            self._label = Text("")
        self._button.on("click", self._pressed, args=[])

    def _show_button(self, document: DeliveryDocument) -> None:
        sending = self._asking or is_due(document)
        label = "Try now" if document.state == "pending" else "Deliver again"
        self._label.text = "Sending…" if sending else label
        adorn(
            self._button,
            disabled=sending,
            aria_label=f"{self._label.text}: {document.type}",
        )
        show_if(self._button, document.state != "dropped")

    async def _pressed(self) -> None:
        """A second press that is on its way when the first one disables the button does nothing."""
        if self._asking or is_due(self.document):
            return
        self._asking = True
        self._show_button(self.document)
        try:
            await self._redeliver(self.document.delivery_id)
        finally:
            self._asking = False
            self._show_button(self.document)

    # --- tries

    def _build_tries(self) -> None:
        self._fold = box("delivery-tries is-away", "details")
        with self._fold:
            with box("fold-head", "summary"):
                icon("chevron")
                self._count = Text("")
            self._list = box("attempts", "ol")

    def _show_tries(self, tries: Sequence[TryDocument]) -> None:
        show_if(self._fold, tries)
        self._count.text = "1 try" if len(tries) == 1 else f"{len(tries)} tries"
        self._list.clear()
        with self._list:
            for one in reversed(tries):
                _build_try(one)


def _next_words(document: DeliveryDocument) -> str:
    if not _waits(document) or document.next_try_at is None:
        return ""
    ahead = moments_words([document.next_try_at], known_zone(), datetime.now(UTC))
    return f"Next try: {ahead}"


def _build_try(one: TryDocument) -> None:
    with box("attempt", "li"):
        with box("attempt-head"):
            Text("No answer" if one.status is None else f"Status {one.status}", "attempt-name")
            Text(f"{second_words(one.at)} · {one.milliseconds:,} ms", "muted")
        if one.error is not None:
            adorn(Text(sentence(one.error), "detail", "p"), dir="auto")
        if one.answer:
            # Focusable, so that keys can scroll it.
            answer = box(
                "answer", "div", tabindex=0, role="group", aria_label="Beginning of the answer"
            )
            with answer:
                adorn(Text(one.answer, "answer-text", "pre"), dir="auto")
