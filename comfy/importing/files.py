"""From a file's bytes to the graphs in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from comfy.errors import WorkflowFileError
from comfy.importing.containers import kind_of, texts_in
from comfy.importing.documents import Found, find_graphs, read_document
from comfy.importing.imported import Container

_NO_FILES: Final = {
    b"version https://git-lfs": "this is a pointer of Git LFS in place of the file: download it",
    b"<!doctype html": "this is a web page about the file: download the file itself (raw)",
    b"<html": "this is a web page about the file: download the file itself (raw)",
}


@dataclass(frozen=True)
class WorkflowFile:
    """What a file holds: at least one graph, or Swarm's parameters."""

    container: Container
    found: Found


def read_file(data: bytes) -> WorkflowFile:
    """Read a JSON document or a media file that carries one.

    Raises WorkflowFileError when it holds no workflow, or one beyond the bounds.
    """
    kind = kind_of(data)
    if kind is None:
        return WorkflowFile("json", _read_json(data))
    found = _read_texts(texts_in(data, kind))
    if not found.has_graph and found.swarm is None:
        raise WorkflowFileError(
            "no_workflow",
            f"this {kind.upper()} file carries no workflow; programs that send or convert "
            "files often remove it",
        )
    return WorkflowFile(kind, found)


def _read_json(data: bytes) -> Found:
    if not data.strip():
        raise WorkflowFileError("no_workflow", "the file is empty")
    for start, what in _NO_FILES.items():
        if data[:1_000].lstrip().lower().startswith(start):
            raise WorkflowFileError("no_workflow", what)
    found = find_graphs(read_document(data))
    if not found.has_graph:
        raise WorkflowFileError(
            "no_workflow",
            "this JSON document is no ComfyUI workflow: it has neither nodes with a "
            '"class_type" (API form) nor a list of nodes (as saved from the page)',
        )
    return found


def _read_texts(texts: list[tuple[str, str]]) -> Found:
    """Graphs under their own keys count before those under any other."""
    known: dict[str, str] = {}
    found = Found()
    for key, text in texts:
        known.setdefault(key.lower(), text)
    for key in ("prompt", "workflow"):
        if key in known:
            found = found.or_else(find_graphs({key: known[key]}))
    for key, text in texts:
        if key.lower() not in ("prompt", "workflow") and text.lstrip()[:1] in ("{", "["):
            found = found.or_else(find_graphs(text))
    return found
