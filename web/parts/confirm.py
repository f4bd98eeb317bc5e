"""A confirmation before an action that cannot be undone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from web.parts.elements import Text, adorn, box


class Ask:
    """One dialog for a whole page; ``about`` opens it with a question."""

    def __init__(self) -> None:
        self._yes: Callable[[], Awaitable[None]] | None = None
        self._dialog = box("sheet ask", "dialog")
        shut = f"(e) => {{ document.getElementById('{self._dialog.html_id}').close(); emit(); }}"
        with self._dialog:
            self._question = Text("", "title", "h2")
            self._detail = Text("", "muted", "p")
            with box("ask-buttons"):
                with box("btn", "button", type="button").on("click", js_handler=shut):
                    self._no = Text("")
                self._button = box("btn btn-primary", "button", type="button")
                with self._button:
                    self._label = Text("")
        self._button.on("click", self._agreed, js_handler=shut)
        adorn(self._dialog, aria_labelledby=self._question.html_id)

    def about(
        self,
        question: str,
        detail: str,
        label: str,
        yes: Callable[[], Awaitable[None]],
        no: str = "Cancel",
    ) -> None:
        """Ask; ``yes`` is called when the button ``label`` is pressed, ``no`` labels the other."""
        self._yes = yes
        self._question.text, self._detail.text = question, detail
        self._label.text, self._no.text = label, no
        ui.run_javascript(f"document.getElementById('{self._dialog.html_id}').showModal()")

    async def _agreed(self) -> None:
        yes, self._yes = self._yes, None
        if yes is not None:
            await yes()
