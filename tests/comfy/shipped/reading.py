"""The shipped workflows, as an import reads them, with small values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from comfy.emulator.values import Clip
from comfy.emulator.videos import video_file
from comfy.importing import ImportedGraph
from comfy.importing.files import read_file
from comfy.importing.proposal import propose
from comfy.importing.reading import read_found
from comfy.nodes import NodeCatalogue
from comfy.shipped import Shipped, declared, packaged, switched
from core.workflows.declaration import Input, Workflow

SMALL: Final[Mapping[str, Any]] = {
    "prompt": "a fox",
    "tags": "folk",
    "lyrics": "la la",
    "width": 128,
    "height": 128,
    "megapixels": 0.1,
    "duration_s": 1,
    "length": 5,
    "fps": 4,
    "steps": 3,
    "split": 1,
    "turbo_steps": 3,
    "turbo_split": 1,
    "scale": 1.0,
    "resolution": 64,
    "seed": 1,
    "image": "one.png",
    "video": "one.mp4",
}
"""What is quick to generate; inputs that are not here keep their defaults."""


@dataclass(frozen=True)
class Read:
    """A shipped workflow as it is added to a ComfyUI."""

    workflow: Workflow
    graph: ImportedGraph
    told: tuple[str, ...]

    @property
    def missing(self) -> set[str]:
        return {one.class_type for one in self.graph.findings.missing_classes}

    @property
    def values(self) -> dict[str, Any]:
        """A value for each input that has a small one or a default."""
        return {
            one.name: value for one in self.workflow.inputs if (value := small(one)) is not None
        }


def small(one: Input) -> Any:
    fits = one.type != "boolean" and one.name in SMALL
    return SMALL[one.name] if fits else one.default


def template(entry: Shipped) -> dict[str, Any]:
    """The file of its template. The package is among the development requirements."""
    data = packaged(entry.templates[0])
    assert data is not None, f"{entry.templates[0]} is not installed: make install"
    found: dict[str, Any] = json.loads(data)
    return found


def read(entry: Shipped, catalogue: NodeCatalogue, told: dict[str, Any] | None = None) -> Read:
    data = json.dumps(told or template(entry)).encode()
    found = switched(read_file(data).found, entry)
    graph = read_found(found, "json", entry.templates[0], catalogue)
    proposed = propose(graph, catalogue, entry.name)
    lacks = bool(graph.findings.missing_classes)
    workflow, said = declared(proposed, catalogue, entry, lacks_classes=lacks)
    return Read(workflow, graph, said)


def put_files(folder: Path) -> None:
    """Put the files that the values name into an emulator's input folder, and others like them."""
    for name, color in (("one", (200, 30, 30)), ("other", (30, 30, 200))):
        picture = Image.new("RGB", (64, 64), color)
        picture.save(folder / f"{name}.png")
        (folder / f"{name}.mp4").write_bytes(video_file(Clip([picture] * 8, 4.0, None), "mp4", {}))
