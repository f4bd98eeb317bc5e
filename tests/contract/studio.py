"""Built-in requests drawn on a ComfyUI, with the tiny models where it is a real one."""

from __future__ import annotations

import io
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from comfy import ComfySession, InputFile
from comfy.families.table import FAMILIES
from comfy.nodes import NodeCatalogue
from comfy.workflows.building.fitting import fitted
from comfy.workflows.builtin.recipe import Layout
from comfy.workflows.layout import Box, Size
from core.ids import filename_prefix
from tests.comfy.building.cases import Case, checkpoint, text, whole
from tests.comfy.building.running import noise
from tests.contract.driving import Run

SOURCE: Final = Size(96, 72)
HOLE: Final = Box(40, 28, 16, 12)
"""What is white in the mask."""
SMALL: Final = Size(80, 64)
WITHIN_S: Final = 600
"""A real ComfyUI without a graphics card takes its time, the more with others beside it."""
QUICK: Final[dict[str, Any]] = {"width": SMALL.width, "height": SMALL.height, "steps": 3, "seed": 7}
FOLDER: Final = "easel-contract"
START: Final = f"{FOLDER}/start.png"
MASK: Final = f"{FOLDER}/mask.png"
OTHER: Final = f"{FOLDER}/other.png"
UPSCALER: Final = "tiny-4x.safetensors"
REFINER: Final = "tiny-refiner.safetensors"


def tiny(family: str, model: str | None = None) -> Case:
    """A small request of a family, from a text."""
    case = checkpoint(FAMILIES[family])
    return case.changed(**QUICK, model=f"tiny-{model or family}.safetensors")


SD15: Final = tiny("sd15")
SDXL: Final = tiny("sdxl")
ANIMA: Final = text(FAMILIES["anima"]).changed(
    **QUICK,
    model="tiny-anima.safetensors",
    text_encoders=["tiny-qwen_3_06b.safetensors"],
    vae="tiny-qwen_image_vae.safetensors",
)
"""In parts, and with latents that have a time."""
INPAINT_MODEL: Final = tiny("sd15", "sd15-inpaint").with_recipe(traits=frozenset({"inpaint"}))


def from_image(case: Case, work: Size = SOURCE, **values: Any) -> Case:
    """The same request, from the start image."""
    given = {"init_image": START, "denoise": 0.6, **values}
    return case.changed(**given).with_recipe(layout=whole(SOURCE, work))


def within_mask(case: Case, layout: Layout, **values: Any) -> Case:
    """The same request, within the mask of the start image."""
    given = {"init_image": START, "mask": MASK, "mask_feather": 8, "denoise": 1.0, **values}
    return case.changed(**given).with_recipe(layout=layout)


AREAS: Final = {
    "whole": Layout(source=SOURCE, padded=SOURCE, crop=Box.of(SOURCE), work=SOURCE, pastes=True),
    "masked": Layout(
        source=SOURCE, padded=SOURCE, crop=Box(9, 3, 63, 61), work=Size(80, 80), pastes=True
    ),
}


@dataclass(frozen=True)
class Studio:
    """A ComfyUI that has a start image, a mask of the same size and another image."""

    session: ComfySession
    nodes: NodeCatalogue

    @classmethod
    async def on(cls, session: ComfySession) -> Studio:
        """Put the images there."""
        pictures = {START: start(), OTHER: noise(Size(96, 96), 2)}
        for name, picture in {**pictures, MASK: hole().convert("RGB")}.items():
            data = _png(picture)
            await session.put_input(InputFile(name, len(data)), _whole(data))
        return cls(session, await session.client.node_catalogue())

    async def made(self, case: Case) -> list[Image.Image]:
        """The pictures that a request gives."""
        prompt_id = str(uuid.uuid4())
        graph = fitted(case.graph(filename_prefix(prompt_id)), self.nodes)
        run = Run(self.session, prompt_id, graph)
        await run.submit()
        files = await run.track(timeout_s=WITHIN_S)
        found = []
        for file in files:
            data = (await self.session.fetch(file, graph.pixels)).data
            with Image.open(io.BytesIO(data)) as picture:
                found.append(picture.convert("RGB"))
        return found

    async def picture(self, case: Case) -> Image.Image:
        """The picture of a request for one."""
        [found] = await self.made(case)
        return found


def start() -> Image.Image:
    """The start image."""
    return noise(SOURCE, 1)


def hole() -> Image.Image:
    """The mask."""
    mask = Image.new("L", SOURCE, 0)
    mask.paste(255, (HOLE.x, HOLE.y, HOLE.x + HOLE.width, HOLE.y + HOLE.height))
    return mask


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
