"""What is drawn within a mask or beyond the sides: the rest stays as it is, to a bit."""

from __future__ import annotations

from typing import Any, Final

import pytest
from PIL import Image, ImageChops

from comfy.families.table import FAMILIES
from comfy.workflows.builtin.recipe import Layout
from comfy.workflows.layout import Box, Size, growth
from tests.comfy.building.cases import (
    IMAGE,
    MASK,
    Case,
    text,
)
from tests.comfy.building.running import (
    SD15,
    SOURCE,
    Comfy,
    differs,
    grown,
    hole,
    start,
    turned,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def within_mask(case: Case, layout: Layout, **values: Any) -> Case:
    # Another VAE: what is decoded differs everywhere from what was encoded, as a real one's does.
    given = {"init_image": IMAGE, "mask": MASK, "vae": "another.safetensors", **values}
    return case.changed(**given).with_recipe(layout=layout)


AREAS: Final = {
    "whole": Layout(source=SOURCE, padded=SOURCE, crop=Box.of(SOURCE), work=SOURCE, pastes=True),
    "scaled": Layout(
        source=SOURCE, padded=SOURCE, crop=Box.of(SOURCE), work=Size(96, 64), pastes=True
    ),
    "masked": Layout(
        source=SOURCE, padded=SOURCE, crop=Box(21, 7, 99, 93), work=Size(128, 128), pastes=True
    ),
}
INPAINTING: Final = (
    SD15,
    SD15.with_recipe(traits=frozenset({"inpaint"})),
    *(text(FAMILIES[name]).changed(steps=3) for name in ("flux1-fill", "flux2-klein-4b-base")),
    *(
        text(FAMILIES[name]).changed(steps=3)
        for name in ("flux1-kontext", "qwen-image-edit", "qwen-image-edit-2511", "sdxl-turbo")
    ),
)


@pytest.mark.parametrize("feather", [0, 8])
@pytest.mark.parametrize("many", [1, 2])
@pytest.mark.parametrize("area", AREAS)
async def test_what_is_not_masked_stays_as_it_is(
    comfy: Comfy, area: str, many: int, feather: int
) -> None:
    layout = AREAS[area]
    for base in INPAINTING:
        case = within_mask(base, layout, batch_size=many, mask_feather=feather, denoise=0.9)
        cell = FAMILIES[case.recipe.family].size_multiple
        reach = growth(feather, cell, layout.crop.size, layout.work) + feather

        found = await comfy.made(case)

        assert len(found) == many
        for one in found:
            assert one.size == SOURCE
            assert differs(one, start(), turned(grown(hole(), reach))) == 0, case.recipe
            assert differs(one, start(), hole()) > 0
        assert many == 1 or found[0].tobytes() != found[1].tobytes()


async def test_all_of_what_is_masked_is_new(comfy: Comfy) -> None:
    case = within_mask(SD15, AREAS["masked"], mask_feather=8, denoise=1.0)
    crop = AREAS["masked"].crop

    found = await comfy.picture(case)
    [drawn] = await comfy.beside(case, "ImageScale")

    assert drawn.size == crop.size
    expected = start()
    expected.paste(drawn, (crop.x, crop.y))
    assert differs(found, expected, hole()) == 0


@pytest.mark.parametrize("hires", [None, "latent", "model"])
async def test_only_what_is_masked_is_sampled(comfy: Comfy, hires: str | None) -> None:
    case = SD15.changed(init_image=IMAGE, mask=MASK, mask_feather=8, denoise=1.0)
    case = case.with_recipe(layout=AREAS["whole"])
    if hires is not None:
        again = {"method": hires, "model": None, "scale": 1, "steps": 2, "denoise": 0.5}
        case = case.changed(hires=again).with_recipe(hires=SOURCE)

    [drawn] = await comfy.beside(case, "VAEDecode")

    assert differs(drawn, start(), turned(grown(hole(), 16))) == 0
    assert differs(drawn, start(), hole()) > 0


async def test_a_soft_edge_lies_between_old_and_new(comfy: Comfy) -> None:
    values = {"init_image": "black.png", "mask": MASK, "denoise": 1.0, "vae": "v.safetensors"}
    Image.new("RGB", SOURCE).save(comfy.folder / "black.png")
    case = SD15.changed(**values).with_recipe(layout=AREAS["whole"])

    hard = await comfy.picture(case.changed(mask_feather=0))
    soft = await comfy.picture(case.changed(mask_feather=8))

    def changed(picture: Image.Image) -> int:
        return differs(picture, Image.new("RGB", SOURCE), Image.new("L", SOURCE, 255))

    assert changed(hard) == (24 + 2 * 8) * (20 + 2 * 8)
    assert changed(hard) < changed(soft) <= (24 + 2 * 16) * (20 + 2 * 16)


async def test_a_second_pass_within_a_mask_gives_the_size_of_the_image(comfy: Comfy) -> None:
    hires = {"method": "latent", "model": None, "scale": 1.5, "steps": 2, "denoise": 0.5}
    for base in INPAINTING:
        case = within_mask(base, AREAS["masked"], mask_feather=8, hires=hires)
        case = case.with_recipe(hires=Size(192, 192))
        cell = FAMILIES[case.recipe.family].size_multiple
        found = await comfy.picture(case)
        [drawn] = await comfy.beside(case, "VAEDecode")

        assert found.size == SOURCE
        assert differs(found, start(), turned(grown(hole(), max(8, cell) + 8))) == 0
        assert differs(found, start(), hole()) > 0
        assert drawn.size == (192, 192)


@pytest.mark.parametrize("base", INPAINTING)
async def test_what_is_added_beyond_the_sides_is_new(comfy: Comfy, base: Case) -> None:
    sides = {"left": 32, "top": 0, "right": 8, "bottom": 16}
    padded = Size(200, 136)
    layout = Layout(
        source=SOURCE, padded=padded, crop=Box.of(padded), work=Size(192, 128), pastes=True
    )
    values = {"init_image": IMAGE, "outpaint": sides, "denoise": 1.0, "vae": "v.safetensors"}
    case = base.changed(**values, mask_feather=8, batch_size=2).with_recipe(layout=layout)

    found = await comfy.made(case)

    cell = FAMILIES[case.recipe.family].size_multiple
    seam = growth(8, cell, padded, layout.work) + 8
    grey = Image.new("RGB", padded, (128, 128, 128))
    grey.paste(start(), (32, 0))
    added = Image.new("L", padded, 255)
    added.paste(0, (32, 0, 32 + SOURCE.width, SOURCE.height))
    assert len(found) == 2
    for one in found:
        assert one.size == padded
        assert differs(one, grey, turned(grown(added, seam))) == 0
        assert differs(one, grey, added) > 0.9 * added.histogram()[255]


@pytest.mark.parametrize("work", [Size(128, 128), Size(64, 96), Size(200, 120)])
async def test_what_is_put_back_fits_to_a_pixel(comfy: Comfy, work: Size) -> None:
    """Scaled to another shape and back it is where it was: nothing is moved or cut."""
    slope = Image.linear_gradient("L").resize(SOURCE)
    across = slope.transpose(Image.Transpose.ROTATE_90).resize(SOURCE)
    picture = Image.merge("RGB", [slope, across, slope])
    picture.save(comfy.folder / "slopes.png")
    layout = AREAS["masked"].model_copy(update={"work": work})
    case = SD15.changed(init_image="slopes.png", mask=MASK, denoise=0.0)

    found = await comfy.picture(case.with_recipe(layout=layout))

    bands = ImageChops.difference(found, picture).split()
    assert max(max(band.tobytes()) for band in bands) <= 3


@pytest.mark.parametrize(
    "family", [name for name, family in FAMILIES.items() if family.edit is not None]
)
async def test_a_start_image_is_looked_at_where_it_is_changed_within_a_mask(family: str) -> None:
    case = within_mask(text(FAMILIES[family]), AREAS["masked"], mask_feather=8)
    nodes = case.graph().to_json()
    looked_at = {
        node["class_type"]: {
            name: value for name, value in node["inputs"].items()
            if name in ("latent", "image", "image1")
        }
        for node in nodes.values()
        if node["class_type"] == "ReferenceLatent" or "QwenImageEdit" in node["class_type"]
    }  # fmt: skip
    [encode] = [node for node in nodes.values() if node["class_type"] == "VAEEncode"]
    [(_, seen)] = looked_at.items()
    [link] = seen.values()
    assert link == encode["inputs"]["pixels"] or nodes[link[0]] == encode
