"""What a workflow lacks, with where the file says it is to be had. Nothing of it is fetched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from api.workflows.documents import MissingDocument, MissingModelFile, MissingNode
from web.parts.elements import Text, adorn, box

_SHOWN: Final = 20


def show_lacks(missing: MissingDocument, problems: Iterable[str] = ()) -> None:
    """Show the missing node classes and model files, and what ComfyUI would refuse."""
    said = list(problems)
    if not (missing.nodes or missing.models or said):
        return
    with box("lacks", "ul"):
        for node in missing.nodes[:_SHOWN]:
            _node(node)
        for model in missing.models[:_SHOWN]:
            _model(model)
        for text in said[:_SHOWN]:
            adorn(Text(text, "lack", "li"), dir="auto")
        counts = (len(missing.nodes), len(missing.models), len(said))
        more = sum(max(0, count - _SHOWN) for count in counts)
        if more:
            Text(f"and {more} more", "lack muted", "li")


def _node(node: MissingNode) -> None:
    with box("lack", "li"):
        Text("Node")
        Text(node.node_class, tag="code")
        if node.pack == "comfy-core":
            Text("is part of ComfyUI: update it")
        elif node.pack:
            Text("from the pack")
            Text(f"{node.pack} {node.version}".strip(), tag="code")
        else:
            Text("from a pack that the file does not name")


def _model(model: MissingModelFile) -> None:
    with box("lack", "li"):
        Text("Model")
        Text(model.name, tag="code")
        if model.folder:
            Text("goes into")
            Text(f"models/{model.folder}", tag="code")
        if model.url:
            _address(model.url)
        if model.near:
            Text(f"Similar ones are there: {', '.join(model.near[:3])}", "muted")


def _address(url: str) -> None:
    """A link that a person may press; what is no web address is only shown."""
    if not _is_web(url):
        Text(url, tag="code")
        return
    with box("link", "a", href=url, target="_blank", rel="noopener noreferrer nofollow"):
        Text(url, "lack-url")


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
