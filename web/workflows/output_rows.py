"""The outputs in the editor of a workflow: which are kept, and which of them is the main one."""

from __future__ import annotations

from collections.abc import Iterable

from nicegui import ui

from core.workflows.declaration import Output
from web.parts.elements import Text, adorn, box, show_if
from web.parts.outputs import KIND_WORDS


class OutputRows:
    """A list of outputs; ``chosen`` are those to declare."""

    def __init__(self, kept: Iterable[Output], left: Iterable[Output] = ()) -> None:
        kept = list(kept)
        self._outputs = [*kept, *left]
        self._had_some = bool(kept)
        self._taken = {one.node for one in kept}
        self._primary = next((one.node for one in kept if one.primary), None)
        if self._primary is None and kept:
            self._primary = kept[0].node
        self._radios: dict[str, ui.element] = {}
        self._ticks: dict[str, ui.element] = {}
        with box("output-rows", "ul", aria_label="Outputs") as self._root:
            for one in self._outputs:
                self._build(one)
        self._error = adorn(Text("", "field-note is-bad is-away", "p"), role="alert")

    @property
    def chosen(self) -> list[Output]:
        """Returns the outputs that are kept; one of them is primary."""
        kept = [one for one in self._outputs if one.node in self._taken]
        told = [one.model_copy(update={"primary": one.node == self._primary}) for one in kept]
        return sorted(told, key=lambda one: not one.primary)

    @property
    def is_lacking(self) -> bool:
        """Whether nothing is kept of what was declared before."""
        return self._had_some and not self._taken

    def refuse(self, text: str) -> None:
        """Show what is wrong with them; an empty text says nothing."""
        self._error.text = text
        show_if(self._error, text)

    def _build(self, one: Output) -> None:
        called = one.name or KIND_WORDS[one.kind]
        with box("output-row", "li"):
            ticked = box("tick-box", "input", type="checkbox", checked=one.node in self._taken)
            adorn(ticked, aria_label=f"Keep the output {called}")
            ticked.on(
                "change",
                lambda event: self._keep(one, bool(event.args)),
                js_handler="(e) => emit(e.target.checked)",
            )
            adorn(Text(called, "output-name"), dir="auto")
            Text(KIND_WORDS[one.kind], "chip-plain")
            box("grow")
            with box("tick", "label"):
                radio = box(
                    "tick-box",
                    "input",
                    type="radio",
                    name=f"primary-{self._root.html_id}",
                    checked=one.node == self._primary,
                )
                radio.on("change", lambda: self._prefer(one), args=[])
                Text("Main output")
                adorn(Text(called, "sr-only"), dir="auto")
        self._radios[one.node], self._ticks[one.node] = radio, ticked

    def _keep(self, one: Output, kept: bool) -> None:
        self.refuse("")
        (self._taken.add if kept else self._taken.discard)(one.node)
        adorn(self._ticks[one.node], checked=kept)
        if self._primary not in self._taken:
            self._mark(
                next((each.node for each in self._outputs if each.node in self._taken), None)
            )

    def _prefer(self, one: Output) -> None:
        """Mark it as the main one, which is kept."""
        self._mark(one.node)
        self._keep(one, True)

    def _mark(self, primary: str | None) -> None:
        self._primary = primary
        for node, radio in self._radios.items():
            adorn(radio, checked=node == primary)
