"""Files that go into ComfyUI's input folder: their names, the form that sends them, its answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from comfy.graph import Graph

_NAME: Final = re.compile(r"([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+\.[A-Za-z0-9]{1,16})")
_BOUNDARY: Final = "easel-4f1c0c9a7d2e4b6f8a3d"
_SIZE: Final = re.compile(r"bytes (?:\d+-\d+|\*)/(\d{1,18})")


@dataclass(frozen=True)
class InputFile:
    """A file of ``size`` bytes, by its name below ComfyUI's input folder: ``folder/name.ext``.

    Raises ValueError for a name of any other form.
    """

    name: str
    size: int

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"not a name of an input file: {self.name}")

    @property
    def subfolder(self) -> str:
        """The folder below ComfyUI's input folder."""
        return self.name.partition("/")[0]

    @property
    def filename(self) -> str:
        """The name in that folder."""
        return self.name.partition("/")[2]

    @property
    def view_params(self) -> dict[str, str]:
        """The parameters of ``GET /view``."""
        return {"filename": self.filename, "subfolder": self.subfolder, "type": "input"}


@dataclass(frozen=True)
class UploadForm:
    """The form of ``POST /upload/image``, sent as it is read: nothing holds the whole file."""

    file: InputFile

    @property
    def headers(self) -> dict[str, str]:
        """Those of the request."""
        length = len(self._before) + self.file.size + len(self._after)
        return {
            "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
            "Content-Length": str(length),
        }

    async def body(self, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yields the body around the file's own bytes.

        Raises ValueError when ``data`` is not as long as was said: the request breaks off then.
        """
        yield self._before
        left = self.file.size
        async for piece in data:
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            raise ValueError(f"{self.file.name} does not have {self.file.size} bytes")
        yield self._after

    @property
    def _before(self) -> bytes:
        # ``overwrite``: what is there under this name is the same file, or a part of it.
        fields = {"type": "input", "subfolder": self.file.subfolder, "overwrite": "true"}
        parts = [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f"--{_BOUNDARY}\r\n"
            f'Content-Disposition: form-data; name="image"; filename="{self.file.filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        return "".join(parts).encode()

    @property
    def _after(self) -> bytes:
        return f"\r\n--{_BOUNDARY}--\r\n".encode()


def name_said(answer: Mapping[str, Any]) -> str:
    """Returns the name that ComfyUI gave a file. Raises KeyError, TypeError."""
    name, subfolder = answer["name"], answer["subfolder"]
    if not isinstance(name, str) or not isinstance(subfolder, str):
        raise TypeError("a name that is no text")
    return f"{subfolder}/{name}".strip("/")


def size_said(headers: Mapping[str, str]) -> int | None:
    """Returns a file's size as the answer to a request for its first byte says it."""
    found = _SIZE.fullmatch(headers.get("Content-Range", ""))
    length = headers.get("Content-Length", "")
    if found is not None:
        return int(found[1])
    return int(length) if length.isdecimal() and len(length) <= 18 else None


def with_names(graph: Graph, name_of: Callable[[str], str | None]) -> Graph:
    """Returns the graph with the texts at its files' places for which ``name_of`` has another."""
    nodes = dict(graph.nodes)
    for node_id, name in graph.files:
        node = nodes.get(node_id)
        if node is not None and name in node.inputs:
            inputs = {**node.inputs, name: _named(node.inputs[name], name_of)}
            nodes[node_id] = replace(node, inputs=MappingProxyType(inputs))
    return replace(graph, nodes=MappingProxyType(nodes))


def texts_of(graph: Graph) -> frozenset[str]:
    """Returns every text at the places of the graph that take files."""
    found: set[str] = set()

    def seen(text: str) -> str | None:
        found.add(text)
        return None

    with_names(graph, seen)
    return frozenset(found)


def _named(value: Any, name_of: Callable[[str], str | None]) -> Any:
    if isinstance(value, str):
        found = name_of(value)
        return value if found is None else found
    if isinstance(value, dict):
        return {key: _named(one, name_of) for key, one in value.items()}
    if isinstance(value, list):
        return [_named(one, name_of) for one in value]
    return value
