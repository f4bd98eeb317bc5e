"""A batch from a file of rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Final

import humanize
from nicegui.elements.upload_files import FileUpload

from core.batches.columns import COUNT, METADATA_PREFIX, Columns
from core.callbacks.callback import CALLBACK_FIELDS
from core.requests import DEFAULT_WORKFLOW
from core.workflows.declaration import Input, Workflow
from web.forms.batch_drafts import BulkDraft
from web.forms.manifests import Manifests
from web.parts.drop import Drop
from web.parts.elements import Text, adorn, box, button, icon, link
from web.parts.fields import folded, tick
from web.parts.layout import STATIC, STATIC_URL, errors_as_toasts, toast_error

_ACCEPT: Final = ".csv,.jsonl,.ndjson,text/csv,application/x-ndjson"
_LABEL: Final = "Drop a CSV or JSON Lines file here, or choose one"
_SAMPLED: Final = frozenset({"prompt", "negative_prompt", "width", "height", "duration_s"})
"""Roles of the inputs that a sample has, besides those that are required."""
_SAMPLED_MAX: Final = 6
_HIDDEN: Final = frozenset({"priority", "metadata", "workflow", *CALLBACK_FIELDS})


class FileForm:
    """Takes a file and shows which one is chosen.

    ``show`` lets it follow the form. The zone itself is built once: a file that is chosen or sent
    while the form becomes another one would be lost with the zone that it was given to.
    """

    def __init__(self, draft: BulkDraft, files: Manifests, on_change: Callable[..., None]) -> None:
        self._draft = draft
        self._files = files
        self._on_change = on_change
        Drop(_LABEL, _ACCEPT, files.most_bytes, errors_as_toasts(self._came), toast_error)
        self._chosen = box("chosen")
        self._rest = box("form-part")

    def show(self, draft: BulkDraft, workflow: Workflow) -> None:
        """Show this draft's file, and what a file for the workflow looks like."""
        self._draft = draft
        self._show()
        self._rest.clear()
        with self._rest:
            tick(
                "Skip rows with problems",
                draft.skip_bad,
                lambda value: self._on_change(skip_bad=value),
            )
            with folded("File format", draft.file is None):
                _build_sample(workflow)

    async def _came(self, upload: FileUpload) -> None:
        kept = await self._files.keep(upload)
        before = self._draft.file
        self._on_change(file=kept)
        self._show()
        if before is not None:
            await self._files.forget(before)

    async def _remove(self) -> None:
        gone = self._draft.file
        self._on_change(file=None)
        self._show()
        if gone is not None:
            await self._files.forget(gone)

    def _show(self) -> None:
        self._chosen.clear()
        file = self._draft.file
        if file is None:
            return
        with self._chosen:
            icon("file")
            adorn(Text(file.name, "chosen-name"), dir="auto")
            Text(humanize.naturalsize(file.size), "muted small")
            box("grow")
            button("Remove the file", errors_as_toasts(self._remove), icon_name="close", bare=True)


def sample_of(workflow: Workflow) -> str:
    """Returns a CSV file with some of the workflow's columns, and one row."""
    shown = [one for one in workflow.inputs if one.required or one.role in _SAMPLED]
    named = [one for one in shown if one.name in Columns(workflow).names][:_SAMPLED_MAX]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*(one.name for one in named), COUNT])
    writer.writerow([*(_sample_cell(one) for one in named), "1"])
    return file.getvalue()


def _sample_cell(one: Input) -> str:
    if one.is_upload:
        return "upload:…"
    if one.default is not None and not isinstance(one.default, str):
        return json.dumps(one.default)
    return str(one.default or "") or ("a red fox at dawn" if one.role == "prompt" else "")


def _build_sample_of(workflow: Workflow) -> None:
    sample = sample_of(workflow)
    Text(sample, "sample", "pre")
    with box("chips"):
        button("Copy", classes="btn-small", data_copy=sample)
    needed = [one.name for one in workflow.inputs if one.required]
    need = f"Needed: {', '.join(needed)}. " if needed else ""
    Text(
        f"{need}Columns: {', '.join(_columns(workflow))}. An empty cell leaves the value to the "
        "workflow. A file is written as upload:<id> or artefact:<id>.",
        "muted small",
        "p",
    )


def _columns(workflow: Workflow) -> list[str]:
    named = [name for name in Columns(workflow).names if name not in _HIDDEN]
    return [*named, f"{METADATA_PREFIX}<key>"]


def _build_sample(workflow: Workflow) -> None:
    if workflow.name != DEFAULT_WORKFLOW:
        _build_sample_of(workflow)
        return
    sample = (STATIC / "sample.csv").read_text(encoding="utf-8")
    Text(sample, "sample", "pre")
    with box("chips"):
        button("Copy", classes="btn-small", data_copy=sample)
        for name in ("sample.csv", "sample.jsonl"):
            link(
                name,
                f"{STATIC_URL}/{name}",
                icon_name="save",
                classes="btn-small",
                download=name,
            )
    Text(
        f"Only prompt is needed. Columns: {', '.join(_columns(workflow))}. An empty cell leaves "
        "the value to the model. Prompts may have wildcards, e.g. {red|silver}.",
        "muted small",
        "p",
    )
