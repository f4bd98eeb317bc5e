"""``easel workflows add`` and ``edit``: from a file to a workflow, and its declaration changed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from cli.console import BAD_USAGE, FAILED, OK, CommandError, console_on
from cli.workflows.asking import asking
from cli.workflows.listing import inputs_table
from comfy.shipped import SHIPPED
from comfy.sources import SourceKind
from core.wording import nearest

if TYPE_CHECKING:
    from rich.console import Console

SOURCES: Final = tuple(f"{kind}:" for kind in get_args(SourceKind))
"""How what Easel ships, and what ComfyUI offers itself, is named."""
_PLAIN: Final = r"[A-Za-z0-9_-]*[A-Za-z0-9_]"
"""A word that is no path: without dots and slashes, and not ``-``."""
_CHANGED: Final = ("title", "description", "inputs", "outputs", "mapping")
"""The part of a workflow that can be changed."""
_SHOWN: Final = 20


@dataclass(frozen=True)
class Adding:
    """What is wanted of a file. ``inputs`` are as ``6.text=prompt``."""

    file: str
    name: str | None = None
    title: str | None = None
    inputs: tuple[str, ...] = ()
    dry_run: bool = False


async def add(url: str, wanted: Adding, *, as_json: bool) -> int:
    """Import a file. Returns the exit code. Raises CommandError."""
    query: dict[str, Any] = {"dry_run": str(wanted.dry_run).lower(), "input": wanted.inputs}
    query |= {"name": wanted.name} if wanted.name else {}
    query |= {"title": wanted.title} if wanted.title else {}
    source = await asyncio.to_thread(_source, wanted.file)
    if source:
        body = json.dumps({"source": source}).encode()
    else:
        body = await asyncio.to_thread(_read, wanted.file)
        query |= {"filename": Path(wanted.file).name} if wanted.file != "-" else {}
    async with asking(url) as client:
        found = await client.add_workflow(body, query)
    out = console_on(sys.stdout)
    if as_json:
        out.print(json.dumps(found, indent=2))
    else:
        _tell(out, found, dry_run=wanted.dry_run)
    return OK


async def edit(url: str, name: str, file: Path | None) -> int:
    """Change a workflow's declaration, by a file or in an editor. Returns the exit code.

    Raises CommandError.
    """
    async with asking(url) as client:
        document, etag = await client.workflow_to_change(name)
        now = {key: document[key] for key in _CHANGED}
        wanted = await asyncio.to_thread(_from_file, file) if file else await _edited(now)
        if wanted == now:
            console_on(sys.stderr).print("Nothing was changed.")
            return OK
        changed = await client.change_workflow(name, wanted, etag)
    out = console_on(sys.stdout)
    out.print(f"{name} is of version {changed['version']} now.")
    out.print(inputs_table(changed["inputs"]))
    return OK


def _source(word: str) -> str | None:
    """Returns what a word names that is no file. Raises CommandError for one that names nothing."""
    if word.startswith(SOURCES):
        return word
    if not re.fullmatch(_PLAIN, word) or Path(word).exists():
        return None
    if word not in SHIPPED:
        near = nearest(word, list(SHIPPED), "workflows that Easel ships")
        raise CommandError(
            f"there is no file {word}, and Easel ships no workflow of that name; {near}. "
            "`easel workflows sources` lists what there is.",
            BAD_USAGE,
        )
    return SHIPPED[word].source


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).expanduser().read_bytes()
    except OSError as error:
        why = error.strerror or error
        raise CommandError(f"{file} cannot be read ({why}).", BAD_USAGE) from error


def _tell(out: Console, found: dict[str, Any], *, dry_run: bool) -> None:
    declaration = found["declaration"]
    name = declaration["name"]
    out.print(f"{declaration['title']}: {'would be added' if dry_run else 'added'} as {name}")
    out.print(inputs_table(declaration["inputs"]))
    for line in _findings(found):
        out.print(line)
    if not dry_run:
        out.print(f"Next: {_example(declaration)}")


def _findings(found: dict[str, Any]) -> Iterator[str]:
    outputs = ", ".join(f"{one['name']} ({one['kind']})" for one in found["declaration"]["outputs"])
    yield f"Outputs: {outputs or 'whatever ComfyUI saves'}"
    dropped = sorted({one["node_class"] for one in found["dropped"]})
    if dropped:
        yield f"Left out: {', '.join(dropped[:_SHOWN])}"
    for old, new in found["mapping"].items():
        yield f"{old} is there as {new}, which is used."
    for one in found["missing"]["nodes"]:
        pack = f": install {one['pack']}" if one["pack"] else ""
        pack = ": update ComfyUI" if one["pack"] == "comfy-core" else pack
        yield f"Missing node class {one['node_class']}{pack}"
    for one in found["missing"]["models"]:
        folder = f" into models/{one['folder']}" if one["folder"] else ""
        near = f" (similar: {', '.join(one['near'])})" if one["near"] else ""
        yield f"Missing model {one['name']}{folder}{near} {one['url']}".rstrip()
    for warning in found["warnings"][:_SHOWN]:
        yield f"Note: {warning}"


def _example(declaration: dict[str, Any]) -> str:
    roles = declaration["roles"]
    words = ["easel", "generate"]
    words += ['"a red fox"'] if "prompt" in roles else []
    words += ["--workflow", declaration["name"]]
    for one in declaration["inputs"]:
        if one.get("required") and one["name"] != roles.get("prompt"):
            is_file = one["type"] in ("image", "mask", "video", "audio", "model3d", "file")
            words += ["--set", f"{one['name']}={'@FILE' if is_file else 'VALUE'}"]
    return " ".join(words)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read ({error}).", BAD_USAGE) from error
    return _parsed(text)


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"the declaration is no JSON ({error}).", BAD_USAGE) from error
    if not isinstance(found, dict):
        raise CommandError("the declaration is no JSON object.", BAD_USAGE)
    # A whole document, or an exported file, has more than can be changed.
    return {key: found[key] for key in _CHANGED if key in found}


async def _edited(now: dict[str, Any]) -> dict[str, Any]:
    """Returns the declaration as an editor left it. Where it is no JSON, the file is kept."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise CommandError("set EDITOR, or name a file with --from FILE.", BAD_USAGE)
    handle, name = tempfile.mkstemp(suffix=".json", prefix="easel-")
    file = Path(name)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        json.dump(now, opened, indent=2, ensure_ascii=False)
    try:
        process = await asyncio.create_subprocess_exec(*shlex.split(editor), name)
        code = await process.wait()
    except (OSError, ValueError) as error:
        raise CommandError(f"{editor} cannot be started ({error}).", FAILED) from error
    if code:
        raise CommandError(f"{editor} ended with {code}; nothing was changed.", FAILED)
    try:
        wanted = await asyncio.to_thread(_from_file, file)
    except CommandError as error:
        raise CommandError(f"{error} It is kept in {file}.", BAD_USAGE) from error
    with contextlib.suppress(OSError):
        await asyncio.to_thread(file.unlink)
    return wanted
