"""What is offered as workflows: those that Easel ships declarations of, and what a ComfyUI has:
those saved on its page, official templates, blueprints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from urllib.parse import quote

from comfy.client import ComfyClient
from comfy.shipped import SHIPPED, Shipped, packaged
from core.text import readable

SourceKind = Literal["shipped", "template", "saved", "blueprint"]
_KINDS: Final[tuple[SourceKind, ...]] = get_args(SourceKind)
_MOST: Final = 5000
_NAME_MAX: Final = 300
_TEXT_MAX: Final = 500


@dataclass(frozen=True)
class WorkflowSource:
    """A workflow that is offered. ``source`` names it in an import."""

    kind: SourceKind
    name: str
    title: str
    description: str = ""
    media: str = ""

    @property
    def source(self) -> str:
        """As an import names it: ``template:flux_dev``."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True)
class SourceFile:
    """A file of what is offered: its bytes, its name, and its title where the source has one."""

    data: bytes
    name: str
    title: str = ""


def shipped_sources() -> tuple[WorkflowSource, ...]:
    """Returns what Easel ships declarations of, whether a ComfyUI answers or not."""
    return tuple(
        WorkflowSource("shipped", one.name, one.title, one.description, one.kind)
        for one in SHIPPED.values()
    )


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


async def workflow_file(client: ComfyClient, source: str) -> SourceFile | None:
    """Returns the file of what is offered as ``source``, None if there is nothing.

    Raises TransientComfyError.
    """
    kind, _, name = source.partition(":")
    if kind not in _KINDS or not _is_name(name):
        return None
    if kind == "shipped":
        return await template_file(client, SHIPPED[name]) if name in SHIPPED else None
    data: bytes | None
    title = ""
    if kind == "template":
        data = await client.document_bytes(_template_path(name))
        title = await _template_title(client, name) if data is not None else ""
    elif kind == "saved":
        data = await client.document_bytes(f"/userdata/{quote(f'workflows/{name}', safe='')}")
    else:
        data = await _blueprint_file(client, name)
    bare = name.rpartition("/")[2].removesuffix(".json")
    return None if data is None else SourceFile(data, bare, title)


async def template_file(client: ComfyClient, entry: Shipped) -> SourceFile | None:
    """Returns the template of what Easel ships, None if there is none of its names.

    That of ComfyUI's package where it is installed, else the ComfyUI's own. Raises
    TransientComfyError.
    """
    for template in entry.templates:
        data = await asyncio.to_thread(packaged, template)
        if data is not None:
            return SourceFile(data, template)
    for template in entry.templates:
        data = await client.document_bytes(_template_path(template))
        if data is not None:
            return SourceFile(data, template)
    return None


def _template_path(name: str) -> str:
    return f"/templates/{quote(name, safe='')}.json"


async def _template_title(client: ComfyClient, name: str) -> str:
    told = await client.document("/templates/index.json")
    return next((one.title for one in _templates(told) if one.name == name), "")


async def _blueprint_file(client: ComfyClient, name: str) -> bytes | None:
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
