"""``easel workflows list`` and ``show``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from cli.console import OK, console_on
from cli.workflows.asking import asking
from core.wording import figure

if TYPE_CHECKING:
    from rich.table import Table

_CHOICES_SHOWN: Final = 5
_DEFAULT_SHOWN: Final = 60


async def list_all(url: str, *, as_json: bool) -> int:
    """Print all workflows. Returns the exit code. Raises CommandError."""
    async with asking(url) as client:
        found = await client.workflows()
    out = console_on(sys.stdout)
    if as_json:
        out.print(json.dumps(found, indent=2))
        return OK
    table = _table("name", "kind", "inputs", "state", "title")
    for one in found:
        kind, state = one.get("kind") or "", (one.get("state") or "").replace("_", " ")
        table.add_row(one["name"], kind, str(len(one["inputs"])), state, one["title"])
    out.print(table)
    return OK


async def show(url: str, name: str, *, as_json: bool) -> int:
    """Print a workflow's inputs. Returns the exit code. Raises CommandError."""
    async with asking(url) as client:
        found = await client.workflow(name)
    out = console_on(sys.stdout)
    if as_json:
        out.print(json.dumps(found, indent=2))
        return OK
    own = "built in" if found["built_in"] else f"version {found['version']}"
    out.print(f"{found['title']} ({own})")
    if found["description"]:
        out.print(found["description"])
    out.print(inputs_table(found["inputs"]))
    if found.get("lacks"):
        lacks = "; ".join(found["lacks"])
        out.print(f"{str(found['state']).replace('_', ' ')}: {lacks}")
    return OK


async def list_sources(url: str, *, as_json: bool) -> int:
    """Print what is offered. Returns the exit code. Raises CommandError."""
    async with asking(url) as client:
        found = await client.workflow_sources()
    out = console_on(sys.stdout)
    if found.get("problem"):
        console_on(sys.stderr).print(f"Nothing of ComfyUI's is listed: {found['problem']}")
    if as_json:
        out.print(json.dumps(found["items"], indent=2))
        return OK
    own = [one for one in found["items"] if one["kind"] == "shipped"]
    others = [one for one in found["items"] if one["kind"] != "shipped"]
    out.print("Easel ships (add one by its name):")
    out.print(_sources_table("name", own))
    if others:
        out.print("\nComfyUI offers:")
        out.print(_sources_table("source", others))
    return OK


def _sources_table(named: str, found: list[dict[str, Any]]) -> Table:
    table = _table(named, "media", "title")
    for one in found:
        table.add_row(one[named], one["media"], one["title"])
    return table


def inputs_table(inputs: list[dict[str, Any]]) -> Table:
    """Returns the inputs of a workflow as ``--set`` takes them."""
    table = _table("input", "type", "default", "")
    for path, one in _paths(inputs):
        default = one.get("default")
        told = "" if default is None else json.dumps(default, ensure_ascii=False)
        table.add_row(path, one["type"], _cut(told), ", ".join(_notes(one)))
    return table


def _cut(text: str) -> str:
    return text if len(text) <= _DEFAULT_SHOWN else f"{text[:_DEFAULT_SHOWN]}…"


def _paths(inputs: list[dict[str, Any]], before: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each input with the name that ``--set`` takes; the first one stands for a list's."""
    for one in inputs:
        path = f"{before}{one['name']}"
        yield path, one
        if one.get("fields"):
            yield from _paths(one["fields"], f"{path}.")
        if one.get("items"):
            yield from _paths([{**one["items"], "name": "0"}], f"{path}.")


def _notes(one: Mapping[str, Any]) -> Iterator[str]:
    if one.get("required"):
        yield "required"
    least, most = one.get("minimum"), one.get("maximum")
    if least is not None and most is not None:
        yield f"{figure(least)} to {figure(most)}"
    elif least is not None:
        yield f"at least {figure(least)}"
    elif most is not None:
        yield f"at most {figure(most)}"
    choices = one.get("choices") or []
    if choices:
        told = " | ".join(map(str, choices[:_CHOICES_SHOWN]))
        yield f"{told} | …" if len(choices) > _CHOICES_SHOWN else told
    if one.get("folder"):
        yield f"a file of {one['folder']}"
    if one.get("help"):
        yield str(one["help"])


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name)
    return table
