"""A batch from a file of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import humanize
from nicegui.elements.upload_files import FileUpload

from core.batches.columns import METADATA_PREFIX, Columns
from core.callbacks.callback import CALLBACK_FIELDS
from core.workflows.declaration import Workflow
from web.forms.batch_drafts import BulkDraft
from web.forms.manifests import Manifests
from web.parts.drop import Drop
from web.parts.elements import Text, adorn, box, button, icon, link
from web.parts.fields import folded, tick
from web.parts.layout import STATIC, STATIC_URL, errors_as_toasts, toast_error

_ACCEPT: Final = ".csv,.jsonl,.ndjson,text/csv,application/x-ndjson"
_LABEL: Final = "Drop a CSV or JSON Lines file here, or choose one"
_HIDDEN: Final = frozenset({"priority", "metadata", "workflow", *CALLBACK_FIELDS})


class FileForm:
    """Takes a file and shows which one is chosen."""

    def __init__(
        self,
        draft: BulkDraft,
        files: Manifests,
        workflow: Workflow,
        on_change: Callable[..., None],
    ) -> None:
        self._draft = draft
        self._files = files
        self._on_change = on_change
        Drop(_LABEL, _ACCEPT, files.most_bytes, errors_as_toasts(self._came), toast_error)
        self._chosen = box("chosen")
        tick(
            "Skip rows with problems",
            draft.skip_bad,
            lambda value: on_change(skip_bad=value),
        )
        with folded("File format", draft.file is None):
            _build_sample(workflow)
        self._show()

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


def _columns(workflow: Workflow) -> list[str]:
    named = [name for name in Columns(workflow).names if name not in _HIDDEN]
    return [*named, f"{METADATA_PREFIX}<key>"]


def _build_sample(workflow: Workflow) -> None:
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
