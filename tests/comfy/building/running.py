"""What the graphs give on a running emulator."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageChops, ImageFilter

from comfy.families.table import FAMILIES
from comfy.graph import Graph
from comfy.nodes import NodeCatalogue
from comfy.workflows.building.fitting import fitted
from comfy.workflows.layout import Box, Size
from tests.comfy.building.cases import IMAGE, MASK, OTHER, Case, checkpoint
from tests.comfy.test_emulator import Caller

SOURCE: Final = Size(160, 120)
HOLE: Final = Box(60, 40, 24, 20)
"""What is white in the mask."""
SMALL: Final = Size(128, 96)
QUICK: Final[dict[str, Any]] = {"width": SMALL.width, "height": SMALL.height, "steps": 3}
SD15: Final = checkpoint(FAMILIES["sd15"]).changed(**QUICK)
SDXL: Final = checkpoint(FAMILIES["sdxl"]).changed(**QUICK)
PROBE: Final = "probe"


@dataclass(frozen=True)
class Comfy:
    """A ComfyUI with a start image, a mask of the same size and another image."""

    caller: Caller
    catalogue: NodeCatalogue
    folder: Path
    _runs: count[int] = field(default_factory=count)

    async def made(self, case: Case) -> list[Image.Image]:
        """The pictures that a request gives."""
        graph = self.graph(case)
        shown = await self.shown(graph.to_json())
        return await self.pictures(shown["7"])

    async def picture(self, case: Case) -> Image.Image:
        [found] = await self.made(case)
        return found

    async def beside(self, case: Case, class_type: str) -> list[Image.Image]:
        """The pictures that the last node of a class gives."""
        graph = self.graph(case).to_json()
        last = [name for name, node in graph.items() if node["class_type"] == class_type][-1]
        graph[PROBE] = {"class_type": "PreviewImage", "inputs": {"images": [last, 0]}}
        return await self.pictures((await self.shown(graph))[PROBE])

    def graph(self, case: Case) -> Graph:
        """The request's graph; the names that it saves under are its own, so nothing is cached."""
        return fitted(case.graph(f"built/{next(self._runs)}"), self.catalogue)

    async def shown(self, graph: dict[str, Any]) -> dict[str, Any]:
        entry = await self.caller.run(graph)
        assert entry["status"]["completed"] is True, entry["status"]
        outputs: dict[str, Any] = entry["outputs"]
        return outputs

    async def pictures(self, shown: dict[str, Any]) -> list[Image.Image]:
        found = []
        for file in shown["images"]:
            async with self.caller.http.get("/view", params=file) as reply:
                with Image.open(io.BytesIO(await reply.read())) as picture:
                    found.append(picture.convert("RGB"))
        return found


def noise(size: Size, seed: int) -> Image.Image:
    """A picture of which no two pixels beside each other are alike."""
    data = random.Random(seed).randbytes(3 * size.pixels)
    return Image.frombytes("RGB", size, data)


def put_files(folder: Path) -> None:
    noise(SOURCE, 1).save(folder / IMAGE)
    noise(Size(96, 96), 2).save(folder / OTHER)
    hole().convert("RGB").save(folder / MASK)


def hole() -> Image.Image:
    mask = Image.new("L", SOURCE, 0)
    mask.paste(255, (HOLE.x, HOLE.y, HOLE.x + HOLE.width, HOLE.y + HOLE.height))
    return mask


def start() -> Image.Image:
    return noise(SOURCE, 1)


def grown(mask: Image.Image, by: int) -> Image.Image:
    return mask.filter(ImageFilter.MaxFilter(2 * by + 1)) if by else mask


def differs(first: Image.Image, second: Image.Image, where: Image.Image) -> int:
    """How many pixels are not alike where a mask is white."""
    return apart(first, second, where).histogram()[255]


def apart(first: Image.Image, second: Image.Image, where: Image.Image) -> Image.Image:
    bands = ImageChops.difference(first, second).split()
    most = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    return ImageChops.darker(most.point(lambda value: 255 if value else 0), where)


def turned(mask: Image.Image) -> Image.Image:
    return ImageChops.invert(mask)
