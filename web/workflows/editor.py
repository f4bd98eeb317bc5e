"""The editor of a workflow: one that is about to be imported, or one that there is."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from nicegui import ui
from pydantic import ValidationError

from api.errors import ProblemError
from api.workflows.documents import (
    DroppedNode,
    ImportDocument,
    LeftOut,
    MissingDocument,
    WorkflowChange,
    WorkflowDocument,
)
from core.invalid import problems_of
from core.problems import FieldProblem
from core.workflows.declaration import NAME_PATTERN
from web.parts.elements import Text, adorn, box, button, show_if
from web.parts.fields import Fields, folded, line, prompt_box
from web.parts.outputs import KIND_WORDS
from web.parts.wording import sentence
from web.workflows.input_row import InputRow
from web.workflows.input_rows import InputRows
from web.workflows.lacks import show_lacks
from web.workflows.output_rows import OutputRows
from web.workflows.wording import REASON_WORDS, STATE_WORDS

OnPress = Callable[[], Awaitable[None]]
_NAME_RULE: Final = "Small letters, digits, - and _; 64 at most."
_AT_FIELDS: Final = ("title", "name", "description")
_OPENED: Final = ("default", "help")
"""What of an input is in the part of its row that is closed at first."""


class Editor:
    """Shows a workflow and what is to be declared of it; keeps what the visitor changes."""

    def __init__(self, heading: str, one: WorkflowDocument, left: LeftOut, *, is_new: bool) -> None:
        self._title, self._name, self._description = one.title, one.name, one.description
        self._sent: list[InputRow] = []
        self._fields = Fields(f"editor-{one.name}-")
        self.heading = adorn(Text(heading, "workflow-heading", "h2"), dir="auto", tabindex=-1)
        self._alert = adorn(Text("", "note is-bad is-away", "p"), role="alert")
        self.place = box("editor-notice")
        with box("pair editor-names"):
            self._build_names(is_new)
        described = prompt_box("Description", one.description, "", self._set_description)
        self._fields.add("description", adorn(described.props("dense"), maxlength=2000))
        self._about = box("editor-about")
        with box("editor-part", "section", aria_label="Inputs of the workflow"):
            Text("Inputs", "side-title", "h3")
            Text(
                "What is ticked becomes a field of the form, in this order. What is not keeps the "
                "value that the workflow has.",
                "muted small",
                "p",
            )
            self._inputs = InputRows(one.name, one.inputs, left.inputs)
            if not (one.inputs or left.inputs):
                Text("Nothing in it can be set.", "muted", "p")
        with box("editor-part", "section", aria_label="Outputs of the workflow"):
            Text("Outputs", "side-title", "h3")
            self._outputs = OutputRows(one.outputs, left.outputs)

    @property
    def name(self) -> str:
        """The name that was entered."""
        return self._name

    def tell_state(self, one: WorkflowDocument, missing: MissingDocument) -> None:
        """Say whether it is ready, and what it lacks."""
        with self._about:
            show_state(one, missing)

    def tell_import(self, made: ImportDocument) -> None:
        """Say what became of the file."""
        with self._about:
            for text in made.warnings:
                adorn(Text(sentence(text), "note", "p"), dir="auto")
            for wanted, used in made.mapping.items():
                with box("note", "p"):
                    Text(wanted, tag="code")
                    Text(" is in ComfyUI as ")
                    Text(used, tag="code")
            if made.dropped:
                _build_dropped(made.dropped)

    def change(self) -> WorkflowChange:
        """Returns what is to be stored. Raises ValidationError, ProblemError."""
        self._forgive()
        mistakes = {} if re.fullmatch(NAME_PATTERN, self._name) else {"name": _NAME_RULE}
        if not self._title.strip():
            mistakes["title"] = "Enter a title first."
        if mistakes:
            raise _mistaken(mistakes)
        if self._outputs.is_lacking:
            raise _mistaken({"outputs": "Keep one output at least."})
        self._sent = self._inputs.taken
        self._check_defaults()
        return WorkflowChange(
            title=self._title.strip(),
            description=self._description,
            inputs=[row.one for row in self._sent],
            outputs=self._outputs.chosen,
        )

    def _check_defaults(self) -> None:
        found = [
            FieldProblem(("inputs", place, "default"), "invalid_form", row.unread)
            for place, row in enumerate(self._sent)
            if row.unread is not None
        ]
        if found:
            raise ProblemError("invalid_request", found[0].message, errors=found)

    def refuse(self, error: ValidationError | ProblemError) -> None:
        """Show what is wrong at its fields, and above all of them what has no field."""
        rest = [text for place, text in _problems(error) if not self._tell(place, text)]
        self._alert.text = " ".join(dict.fromkeys(rest))
        show_if(self._alert, rest)
        if rest:
            ui.run_javascript("easel.toTop()")

    def _tell(self, place: tuple[str | int, ...], text: str) -> bool:
        """Show it where it belongs. Returns whether there is such a field."""
        match place:
            case (str(name), *_) if name in _AT_FIELDS:
                return not self._fields.refuse({name: text})
            case ("inputs", which, *inner):
                row = self._inputs.row_of(self._sent, which)
                if row is None:
                    return False
                row.refuse(text, opened=bool(inner) and inner[0] in _OPENED)
                ui.run_javascript(f"easel.reveal('{row.root.html_id}')")
                return True
            case ("outputs", *_):
                self._outputs.refuse(text)
                return True
            case _:
                return False

    def _forgive(self) -> None:
        show_if(self._alert, False)
        self._inputs.forgive()
        self._outputs.refuse("")

    def _build_names(self, is_new: bool) -> None:
        title = line("Title", self._title, self._set_title, maxlength=200, dir="auto")
        self._fields.add("title", title)
        if is_new:
            name = line("Name", self._name, self._set_name, maxlength=64)
            self._fields.add("name", adorn(name, hint="As requests and files call it"))

    def _set_title(self, text: str) -> None:
        self._title = text

    def _set_name(self, text: str) -> None:
        self._name = text.strip()

    def _set_description(self, text: str) -> None:
        self._description = text


def show_state(one: WorkflowDocument, missing: MissingDocument) -> None:
    """Show the kind of the output, whether it is ready, and what it lacks."""
    with box("workflow-facts"):
        if one.kind is not None:
            Text(KIND_WORDS[one.kind], "chip-plain")
        if one.built_in:
            Text("Built in", "chip-plain")
        if one.state is not None:
            is_ready = "is-ready" if one.state == "ready" else "is-lacking"
            Text(STATE_WORDS[one.state], f"workflow-state {is_ready}")
        else:
            Text("Not checked: ComfyUI has not been reached yet", "muted small")
    show_lacks(missing, one.lacks if one.state == "needs_attention" else ())


def _build_dropped(dropped: list[DroppedNode]) -> None:
    count = len(dropped)
    said = f"{count:,} nodes of the file are" if count > 1 else "1 node of the file is"
    with folded(f"{said} left out"), box("dropped", "ul"):
        for node in dropped[:200]:
            with box("", "li"):
                Text(node.node_class, tag="code")
                Text(f"node {node.node}: {REASON_WORDS.get(node.reason, node.reason)}", "muted")


def build_bar(buttons: list[tuple[str, OnPress, bool]]) -> None:
    """Build the buttons beneath an editor: each with whether it is the main one."""
    with box("editor-bar"):
        for label, on_press, is_main in buttons:
            button(label, on_press, classes="btn-primary" if is_main else "")


def _mistaken(mistakes: dict[str, str]) -> ProblemError:
    found = [FieldProblem((name,), "invalid_form", text) for name, text in mistakes.items()]
    return ProblemError("invalid_request", str(found[0]), errors=found)


def _problems(
    error: ValidationError | ProblemError,
) -> list[tuple[tuple[str | int, ...], str]]:
    if isinstance(error, ValidationError):
        return [(place, sentence(message)) for place, _, message in problems_of(error)]
    if error.problem.code == "workflow_exists":
        return [(("name",), sentence(error.problem.detail))]
    found = [(one.loc, sentence(one.message)) for one in error.problem.errors]
    return found or [((), sentence(error.problem.detail))]
