"""The model files that a ComfyUI has: its folders, their files, and what those say of themselves.

Routes of ComfyUI's app/model_manager.py and server.py (view_metadata). What they answer is checked
and limited; a name is taken as it is or left out, for a changed one could not be submitted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from comfy.catalogue import is_usable
from comfy.client import ComfyClient
from comfy.errors import ComfyProtocolError

FOLDERS_MAX: Final = 500
PLACES_MAX: Final = 50
FILES_MAX: Final = 20_000
"""The most files of one folder that are read; the others are left out."""
_PLACE_MAX: Final = 4096
_NUMBER_MAX: Final = 2**53
"""The largest size in bytes, and time in seconds, that is taken for one."""
_ENTRIES_MAX: Final = 2_000
"""The most values of one file's metadata."""
GGUF_FOLDERS: Final[Mapping[str, str]] = {
    "diffusion_models": "unet_gguf",
    "text_encoders": "clip_gguf",
}
"""Under which name ComfyUI-GGUF (its nodes.py) lists the GGUF files of a folder."""


@dataclass(frozen=True)
class ListedFile:
    """A file of a folder: its name in it, and which of the folder's places it is in.

    ``size`` is in bytes, ``modified`` in seconds since 1970. All but the name are None for what
    ComfyUI lists by name only.
    """

    name: str
    place: int | None = None
    size: int | None = None
    modified: float | None = None


async def model_folders(client: ComfyClient) -> Mapping[str, tuple[str, ...]]:
    """Returns where the files of each folder are, as paths on ComfyUI's machine.

    Empty for a ComfyUI that does not say it. Raises TransientComfyError.
    """
    told = await _document(client, "/experiment/models")
    found: dict[str, tuple[str, ...]] = {}
    for one in (told if isinstance(told, list) else [])[:FOLDERS_MAX]:
        name, places = _of(one, "name"), _of(one, "folders")
        if isinstance(name, str) and is_usable(name) and isinstance(places, list):
            found[name] = tuple(place for place in places[:PLACES_MAX] if _is_place(place))
    return found


async def model_files(
    client: ComfyClient, folder: str, folders: Mapping[str, tuple[str, ...]]
) -> tuple[ListedFile, ...]:
    """Returns the files of a folder by name, each once; none of a folder that is not there.

    ``folders`` are those of ``model_folders``. Raises TransientComfyError.
    """
    told = await _document(client, f"/experiment/models/{quote(folder, safe='')}")
    found = _listed(told) if told is not None else await _names(client, folder)
    more = GGUF_FOLDERS.get(folder)
    if more is not None and more in folders:
        found = (*found, *await _names(client, more))
    once: dict[str, ListedFile] = {}
    for one in found:  # ComfyUI takes the first place that has a name
        once.setdefault(one.name, one)
    return tuple(sorted(once.values(), key=lambda one: one.name))[:FILES_MAX]


async def file_metadata(client: ComfyClient, folder: str, name: str) -> Mapping[str, str] | None:
    """Returns what a file's maker wrote into it, None where ComfyUI does not say it.

    It says nothing of other files than safetensors, nor of a header of more than 1 MiB, and answers
    500 for one that is malformed. Raises TransientComfyError when it cannot be reached.
    """
    query = urlencode({"filename": name})
    try:
        told = await _document(client, f"/view_metadata/{quote(folder, safe='')}?{query}")
    except ComfyProtocolError:
        return None
    if not isinstance(told, dict):
        return None
    texts = ((key, value) for key, value in told.items() if isinstance(value, str))
    return dict(text for text, _ in zip(texts, range(_ENTRIES_MAX), strict=False))


async def _names(client: ComfyClient, folder: str) -> tuple[ListedFile, ...]:
    told = await _document(client, f"/models/{quote(folder, safe='')}")
    names = told if isinstance(told, list) else []
    return tuple(
        ListedFile(name) for name in names[:FILES_MAX] if isinstance(name, str) and is_usable(name)
    )


async def _document(client: ComfyClient, path: str) -> Any:
    """Returns the JSON of a route as it was sent, None without the route."""
    body = await client.document_bytes(path)
    return None if body is None else await asyncio.to_thread(_parsed, body, path)


def _parsed(body: bytes, path: str) -> Any:
    try:
        return json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise ComfyProtocolError(f"ComfyUI's answer to {path[:200]} is not JSON") from None


def _listed(told: Any) -> tuple[ListedFile, ...]:
    return tuple(_entries((told if isinstance(told, list) else [])[:FILES_MAX]))


def _entries(told: list[Any]) -> Iterator[ListedFile]:
    for one in told:
        name, place = _of(one, "name"), _of(one, "pathIndex")
        if not isinstance(name, str) or not is_usable(name):
            continue
        size, modified = _number(_of(one, "size")), _number(_of(one, "modified"))
        yield ListedFile(
            name,
            place=place if isinstance(place, int) and 0 <= place < PLACES_MAX else None,
            size=int(size) if size is not None else None,
            modified=modified,
        )


def _of(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= _NUMBER_MAX else None


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _PLACE_MAX and "\0" not in value
