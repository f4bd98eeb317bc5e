"""What a ComfyUI offers as workflows: those saved on its page, official templates, blueprints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from urllib.parse import quote

from comfy.client import ComfyClient
from core.text import readable

SourceKind = Literal["template", "saved", "blueprint"]
_KINDS: Final[tuple[SourceKind, ...]] = get_args(SourceKind)
_MOST: Final = 5000
_NAME_MAX: Final = 300
_TEXT_MAX: Final = 500


@dataclass(frozen=True)
class WorkflowSource:
    """A workflow that a ComfyUI offers. ``source`` names it in an import."""

    kind: SourceKind
    name: str
    title: str
    description: str = ""
    media: str = ""

    @property
    def source(self) -> str:
        """As an import names it: ``template:flux_dev``."""
        return f"{self.kind}:{self.name}"


async def offered(client: ComfyClient) -> tuple[WorkflowSource, ...]:
    """Returns what a ComfyUI offers; routes that it does not have offer nothing.

    Raises TransientComfyError.
    """
    saved, templates, blueprints = await asyncio.gather(
        client.document("/userdata?dir=workflows&recurse=true"),
        client.document("/templates/index.json"),
        client.document("/global_subgraphs"),
    )
    found = [*_saved(saved), *_templates(templates), *_blueprints(blueprints)]
    return tuple(found[:_MOST])


async def workflow_file(client: ComfyClient, source: str) -> bytes | None:
    """Returns the file of what is offered as ``source``, None if there is nothing.

    Raises TransientComfyError.
    """
    kind, _, name = source.partition(":")
    if kind not in _KINDS or not _is_name(name):
        return None
    if kind == "template":
        return await client.document_bytes(f"/templates/{quote(name, safe='')}.json")
    if kind == "saved":
        return await client.document_bytes(f"/userdata/{quote(f'workflows/{name}', safe='')}")
    known = await client.document("/global_subgraphs")
    for blueprint_id, told in (known if isinstance(known, Mapping) else {}).items():
        if isinstance(told, Mapping) and name in (told.get("name"), blueprint_id):
            path = f"/global_subgraphs/{quote(str(blueprint_id), safe='')}"
            found = await client.document(path)
            data = found.get("data") if isinstance(found, Mapping) else None
            if isinstance(data, str):
                return data.encode("utf-8", "replace")
            return None if data is None else json.dumps(data).encode()
    return None


def _is_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name) <= _NAME_MAX
        and name.isprintable()
        and ".." not in name.replace("\\", "/").split("/")
    )


def _saved(told: Any) -> Iterator[WorkflowSource]:
    for name in told if isinstance(told, list) else ():
        if _is_name(name) and name.lower().endswith(".json"):
            yield WorkflowSource("saved", name, name.removesuffix(".json"))


def _templates(told: Any) -> Iterator[WorkflowSource]:
    for group in told if isinstance(told, list) else ():
        if not isinstance(group, Mapping) or not isinstance(group.get("templates"), list):
            continue
        for one in group["templates"]:
            if isinstance(one, Mapping) and _is_name(one.get("name")):
                name = str(one["name"])
                yield WorkflowSource(
                    "template",
                    name,
                    _text(one.get("title")) or name,
                    _text(one.get("description")),
                    _text(one.get("mediaType")),
                )


def _blueprints(told: Any) -> Iterator[WorkflowSource]:
    for one in told.values() if isinstance(told, Mapping) else ():
        if isinstance(one, Mapping) and _is_name(one.get("name")):
            yield WorkflowSource("blueprint", str(one["name"]), str(one["name"]))


def _text(value: Any) -> str:
    return readable(value, _TEXT_MAX) if isinstance(value, str) else ""
