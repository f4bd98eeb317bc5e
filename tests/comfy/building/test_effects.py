"""What the graphs do: sizes, what stays as it is, and that every value counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import pytest
import pytest_asyncio
from PIL import Image, ImageChops

from comfy.families.table import FAMILIES
from comfy.graph import Graph
from comfy.nodes import NodeCatalogue
from comfy.workflows.builtin.recipe import Layout
from comfy.workflows.layout import Box, Size, growth
from tests.comfy.building.cases import (
    IMAGE,
    MASK,
    OTHER,
    Case,
    checkpoint,
    control,
    edited,
    model_of,
    text,
    whole,
)
from tests.comfy.building.running import (
    SOURCE,
    Comfy,
    differs,
    grown,
    hole,
    noise,
    put_files,
    start,
    turned,
)
from tests.comfy.test_emulator import calling
from tests.comfy.test_emulator_artefacts import ANY_MODEL

SMALL: Final = Size(128, 96)
QUICK: Final[dict[str, Any]] = {"width": SMALL.width, "height": SMALL.height, "steps": 3}
SD15: Final = checkpoint(FAMILIES["sd15"]).changed(**QUICK)
SDXL: Final = checkpoint(FAMILIES["sdxl"]).changed(**QUICK)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comfy() -> AsyncIterator[Comfy]:
    async with calling(ANY_MODEL) as (emulator, caller):
        put_files(emulator.input_dir)
        _, told = await caller.get("/object_info")
        yield Comfy(caller, NodeCatalogue.from_object_info(told), emulator.input_dir)


def from_image(case: Case, work: Size = SOURCE, **values: Any) -> Case:
    given = {"init_image": IMAGE, "denoise": 0.5, **values}
    return case.changed(**given).with_recipe(layout=whole(SOURCE, work))


def within_mask(case: Case, layout: Layout, **values: Any) -> Case:
    # Another VAE: what is decoded differs everywhere from what was encoded, as a real one's does.
    given = {"init_image": IMAGE, "mask": MASK, "vae": "another.safetensors", **values}
    return case.changed(**given).with_recipe(layout=layout)


# --- sizes


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_picture_has_the_size_that_is_asked_for(comfy: Comfy, family: str) -> None:
    found = await comfy.picture(text(FAMILIES[family]).changed(**QUICK))

    assert found.size == SMALL


async def test_an_image_is_scaled_to_what_is_sampled(comfy: Comfy) -> None:
    found = await comfy.made(from_image(SD15, Size(64, 64), batch_size=2))

    assert [one.size for one in found] == [(64, 64)] * 2
    assert found[0].tobytes() != found[1].tobytes()


@pytest.mark.parametrize("method", ["latent", "model"])
@pytest.mark.parametrize("family", ["sd15", "flux2-dev", "chroma-radiance", "hunyuan-image"])
async def test_the_second_pass_gives_its_own_size(comfy: Comfy, family: str, method: str) -> None:
    hires = {"method": method, "model": None, "scale": 1.5, "steps": 2, "denoise": 0.5}
    case = text(FAMILIES[family]).changed(**QUICK, hires=hires).with_recipe(hires=Size(192, 160))

    assert (await comfy.picture(case)).size == (192, 160)


@pytest.mark.parametrize("size", [Size(320, 240), Size(333, 251), Size(4200, 30)])
@pytest.mark.parametrize("detail", [0.0, 0.3])
async def test_upscaling_gives_exactly_the_size(comfy: Comfy, size: Size, detail: float) -> None:
    assert (await comfy.picture(upscaled(size, detail))).size == size


def upscaled(size: Size, detail: float, **values: Any) -> Case:
    given = {
        "init_image": IMAGE, "scale": 2.0, "model": "4x.pth", "detail": detail,
        "detail_model": "detail.safetensors", "steps": 2, "seed": 1, **values,
    }  # fmt: skip
    return Case(given, SD15.with_recipe(layout=whole(SOURCE, size)).recipe, "upscale")


# --- what is drawn within a mask

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


# --- every value counts


async def test_denoise_says_how_much_of_the_image_is_drawn_anew(comfy: Comfy) -> None:
    for base in (SD15, checkpoint(FAMILIES["sdxl-turbo"]).changed(steps=2)):
        kept, half, gone = [
            await comfy.picture(from_image(base, denoise=share)) for share in (0.0, 0.5, 1.0)
        ]
        assert kept.tobytes() == start().tobytes()
        assert half.tobytes() not in (kept.tobytes(), gone.tobytes())
        assert distance(half, kept) < distance(gone, kept)


def distance(first: Image.Image, second: Image.Image) -> int:
    pairs = zip(first.tobytes(), second.tobytes(), strict=True)
    return sum(abs(one - other) for one, other in pairs)


async def test_the_least_denoise_is_one_step(comfy: Comfy) -> None:
    klein = text(FAMILIES["flux2-klein-4b"]).changed(steps=4)
    for base in (klein, checkpoint(FAMILIES["sdxl-turbo"])):
        kept, least = [
            await comfy.picture(from_image(base, denoise=share)) for share in (0.0, 0.01)
        ]
        assert kept.tobytes() != least.tobytes()


LORA: Final = {"name": "a.safetensors", "strength": 0.8}
HIRES: Final = {"method": "latent", "model": None, "scale": 1.5, "steps": 2, "denoise": 0.5}
CONTROL: Final = control()
EFFECTS: Final[dict[str, tuple[Case, dict[str, Any]]]] = {
    "lora": (SD15, {"loras": [LORA]}),
    "lora_strength": (SD15.changed(loras=[LORA]), {"loras": [{**LORA, "strength": 0.7}]}),
    "lora_of_encoder": (
        SD15.changed(loras=[LORA]), {"loras": [{**LORA, "strength_clip": 0.0}]},
    ),
    "lora_of_model": (
        checkpoint(FAMILIES["auraflow"]).changed(**QUICK), {"loras": [LORA]},
    ),
    "clip_skip": (SD15, {"clip_skip": 2}),
    "vae": (SD15, {"vae": "another.safetensors"}),
    "text_encoders": (SD15, {"text_encoders": ["another.safetensors"]}),
    "refiner": (SDXL, {"refiner": {"model": "refiner.safetensors", "switch_at": 0.8}}),
    "guidance": (text(FAMILIES["flux1-dev"]).changed(**QUICK), {"guidance": 2.0}),
    "negative_prompt": (SD15, {"negative_prompt": "ugly"}),
    "image": (from_image(SD15), {"init_image": OTHER}),
    "control_image": (
        SD15.changed(controls=[CONTROL]).with_recipe(controls=("net",)),
        {"controls": [{**CONTROL, "image": IMAGE}]},
    ),
    "control_strength": (
        SD15.changed(controls=[CONTROL]).with_recipe(controls=("net",)),
        {"controls": [{**CONTROL, "strength": 0.5}]},
    ),
    "control_end": (
        SD15.changed(controls=[CONTROL]).with_recipe(controls=("net",)),
        {"controls": [{**CONTROL, "end": 0.5}]},
    ),
    "control_preprocess": (
        SD15.changed(controls=[CONTROL]).with_recipe(controls=("net",)),
        {"controls": [{**CONTROL, "preprocess": "canny"}]},
    ),
    "control_type": (
        SDXL.changed(controls=[CONTROL]).with_recipe(controls=("union",)),
        {"controls": [{**CONTROL, "type": "depth"}]},
    ),
    "control_patch": (
        text(FAMILIES["z-image"]).changed(**QUICK, controls=[CONTROL])
        .with_recipe(controls=("patch",)),
        {"controls": [{**CONTROL, "image": IMAGE}]},
    ),
    "upscale_detail": (upscaled(Size(320, 240), 0.3), {"detail": 0.4}),
    "upscale_model": (upscaled(Size(320, 240), 0.0), {"model": "2x.pth"}),
    "upscale_detail_model": (upscaled(Size(320, 240), 0.3), {"detail_model": "b.safetensors"}),
    "upscale_prompt": (upscaled(Size(320, 240), 0.3), {"prompt": "a fox"}),
}  # fmt: skip
"""A request, and a change to it."""


@pytest.mark.parametrize("name", EFFECTS)
async def test_it_changes_the_picture(comfy: Comfy, name: str) -> None:
    case, change = EFFECTS[name]
    first, again = await comfy.picture(case), await comfy.picture(case)
    assert first.tobytes() == again.tobytes()  # a difference comes of the change alone

    assert (await comfy.picture(case.changed(**change))).tobytes() != first.tobytes()


@pytest.mark.parametrize(
    ("family", "place"),
    [
        (name, place)
        for name, family in FAMILIES.items()
        for place in range(min(2, family.references_max))
    ],
)
async def test_each_reference_image_changes_the_picture(
    comfy: Comfy, family: str, place: int
) -> None:
    case = edited(FAMILIES[family]).changed(**QUICK)
    images = list(case.values["reference_images"])
    images[place] = "third.png"
    noise(Size(80, 80), 3).save(comfy.folder / "third.png")

    before = await comfy.picture(case)
    after = await comfy.picture(case.changed(reference_images=images))

    assert before.size == SMALL
    assert after.tobytes() != before.tobytes()


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


async def test_no_strength_is_as_none(comfy: Comfy) -> None:
    nothing = [
        {"loras": [{**LORA, "strength": 0.0}]},
        {"controls": [{**CONTROL, "strength": 0.0}]},
    ]
    plain = await comfy.picture(SD15)

    for change in nothing:
        case = SD15.changed(**change).with_recipe(controls=("net",) * ("controls" in change))
        assert (await comfy.picture(case)).tobytes() == plain.tobytes()


async def test_controls_are_applied_to_both_passes() -> None:
    case = SD15.changed(controls=[{**CONTROL, "preprocess": "canny"}], hires=HIRES)
    graph = case.with_recipe(controls=("net",), hires=Size(192, 144)).graph()

    assert count(graph, "ControlNetLoader", "Canny", "LoadImage") == [1, 1, 1]
    assert count(graph, "ControlNetApplyAdvanced", "KSampler") == [2, 2]
    assert sizes(graph) == [(128, 96), (192, 144)]


def count(graph: Graph, *classes: str) -> list[int]:
    used = [node.class_type for node in graph.nodes.values()]
    return [used.count(one) for one in classes]


def sizes(graph: Graph) -> list[tuple[int, int]]:
    nodes = [node for node in graph.nodes.values() if node.class_type == "ImageScale"]
    return [(node.inputs["width"], node.inputs["height"]) for node in nodes]


async def test_the_refiner_has_the_last_steps(comfy: Comfy) -> None:
    def refined(switch_at: float, **more: Any) -> Case:
        refiner = {"model": "refiner.safetensors", "switch_at": switch_at}
        return SDXL.changed(steps=10, refiner=refiner, **more)

    def spans(case: Case) -> list[tuple[int, int]]:
        return [
            (node.inputs["start_at_step"], node.inputs["end_at_step"])
            for node in case.graph().nodes.values()
            if node.class_type == "KSamplerAdvanced"
        ]

    assert spans(refined(0.8)) == [(0, 8), (8, 10_000)]
    assert spans(from_image(refined(0.8), denoise=0.5)) == [(5, 8), (8, 10_000)]
    for only in (refined(1.0), refined(0.0), from_image(refined(0.8), denoise=0.1)):
        assert count(only.graph(), "KSampler", "KSamplerAdvanced") == [1, 0]
    base = await comfy.picture(SDXL.changed(steps=10))
    assert (await comfy.picture(refined(1.0))).tobytes() == base.tobytes()
    assert (await comfy.picture(refined(0.0))).tobytes() != base.tobytes()


async def test_what_a_family_does_not_hear_is_left_out() -> None:
    flux = text(FAMILIES["flux1-schnell"])

    assert flux.changed(clip_skip=2, guidance=3.0).graph() == flux.graph()
    assert model_of(FAMILIES["flux1-schnell"])["vae"] == "flux1.safetensors"
    assert replace(SD15, values={**SD15.values, "guidance": 3.0}).graph() == SD15.graph()
