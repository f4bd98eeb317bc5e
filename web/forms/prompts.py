"""The prompt of a batch: it may stand for many prompts, and shows how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from core.batches.lists import Lists
from web.forms.batch_drafts import PromptDraft
from web.parts.elements import Text, adorn, box, button, show_if
from web.parts.fields import Fields, folded, prompt_box, tick

LISTS_SHOWN: Final = 40
_HELP: Final = (
    ("{red|silver} fox", "one of them, drawn anew for each image"),
    ("{3::red|silver} fox", "red three times as often"),
    ("{2$$red|silver|gold} fox", "two of them"),
    ("__animal__", "a line of the list “animal”, a file in Easel's wildcards folder"),
    (r"\{ \} \|", "the characters themselves"),
)


class PromptField:
    """The text box, a tick to use each line as a prompt, and help with wildcards."""

    def __init__(
        self,
        draft: PromptDraft,
        fields: Fields,
        on_change: Callable[..., None],
        name: str = "prompt",
        label: str = "Prompt",
        several: str = "images",
    ) -> None:
        """``name`` and ``label`` are those of the input, ``several`` what the workflow makes."""
        self._draft = draft
        self._on_change = on_change
        placeholder = "e.g. a {red|silver} fox at {dawn|dusk}"
        self._box = prompt_box(label, draft.prompt, placeholder, self._typed)
        adorn(fields.add(name, self._box), data_focus="/")
        self._each_line = tick("Each line is its own prompt", draft.each_line, self._ticked)
        with folded(f"Wildcards: one prompt for many {several}"):
            _build_help()
            self._lists = box("chips is-away", role="group", aria_label="Your lists")
            self._unusable = box("is-away")
        self._show()

    def offer(self, lists: Lists) -> None:
        """Show the existing lists; a press inserts one into the prompt. Files that are none too."""
        names, unusable = lists.names[:LISTS_SHOWN], [*lists.unusable.values()][:LISTS_SHOWN]
        self._lists.clear()
        self._unusable.clear()
        with self._lists:
            for name in names:
                self._build_list(name)
        with self._unusable:
            for why in unusable:
                Text(why, "muted small", "p")
        show_if(self._lists, bool(names))
        show_if(self._unusable, bool(unusable))

    def _build_list(self, name: str) -> None:
        button(f"__{name}__", lambda: self._append(f"__{name}__"), classes="btn-small")

    def _append(self, text: str) -> None:
        gap = "" if not self._draft.prompt or self._draft.prompt[-1].isspace() else " "
        self._box.value = f"{self._draft.prompt}{gap}{text}"

    def _typed(self, value: Any) -> None:
        self._on_change(prompt=str(value))
        self._show()

    def _ticked(self, value: bool) -> None:
        self._on_change(each_line=value)

    def _show(self) -> None:
        """Show the tick only when the prompt has several lines."""
        asked = self._draft.each_line or "\n" in self._draft.prompt.strip()
        show_if(self._each_line, asked)


def _build_help() -> None:
    with box("terms", "dl"):
        for written, meaning in _HELP:
            with box("", "div"):
                with box("", "dt"):
                    Text(written, tag="code")
                Text(meaning, tag="dd")
