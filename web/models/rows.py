"""The list of model files: one element, built in the browser from plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from nicegui import events, ui

from api.models.beside import Beside
from api.models.choices import FAMILY_FOLDERS
from api.models.documents import ModelFileDocument
from web.models.wording import (
    FOLDER_WORDS,
    family_words,
    how_known,
    is_unknown,
    trait_words,
    worker_words,
)

NOTHING: Final = Beside()


class ModelRows(ui.element, component="../static/models.js"):
    """Files under the names of their folders. ``on_edit`` is called with folder and name."""

    def __init__(self, on_edit: Callable[[str, str], Any]) -> None:
        super().__init__()
        self.props["groups"] = []
        self.on("edit", lambda event: on_edit(*_named(event)))

    def show(self, groups: list[dict[str, Any]]) -> None:
        """Show these, as ``grouped`` has made them; the same ones are not sent again."""
        if groups != self.props["groups"]:
            self.props["groups"] = groups
            self.update()


def grouped(
    shown: Iterable[ModelFileDocument],
    counts: Mapping[str, int],
    beside: Mapping[tuple[str, str], Beside],
    live: int,
) -> list[dict[str, Any]]:
    """Returns the files by folder; ``counts`` says how many of each there are, shown or not."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in shown:
        made = _row(one, beside.get((one.folder, one.name), NOTHING), live)
        groups.setdefault(one.folder, []).append(made)
    return [
        {"folder": folder, "label": words, "count": counts[folder], "rows": groups[folder]}
        for folder, words in FOLDER_WORDS.items()
        if folder in groups
    ]


def row_id(folder: str, name: str) -> str:
    """Returns the id of a row's button in the browser."""
    digest = hashlib.sha256(f"{folder}/{name}".encode(errors="surrogatepass")).hexdigest()
    return f"model-{digest[:16]}"


def _row(one: ModelFileDocument, beside: Beside, live: int) -> dict[str, Any]:
    path, _, name = one.name.rpartition("/")
    has_family = one.folder in FAMILY_FOLDERS
    return {
        "id": row_id(one.folder, one.name),
        "folder": one.folder,
        "full": one.name,
        "path": f"{path}/" if path else "",
        "name": name,
        "family": family_words(one) if has_family else "",
        "unknown": is_unknown(one),
        "how": how_known(one) if has_family else "",
        "traits": trait_words(one),
        "words": ", ".join(one.trigger_words),
        "loaded": ", ".join(beside.loaded),
        "lacks": list(beside.lacks),
        "workers": worker_words(one, live),
    }


def _named(event: events.GenericEventArguments) -> tuple[str, str]:
    return str(event.args["folder"]), str(event.args["name"])
