"""What the graphs do: sizes, what stays as it is, and that every value counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest
from PIL import Image

from comfy.families.table import FAMILIES
from comfy.graph import Graph
from comfy.workflows.layout import Size
from tests.comfy.building.cases import (
    IMAGE,
    OTHER,
    Case,
    checkpoint,
    control,
    edited,
    text,
    whole,
)
from tests.comfy.building.running import (
    QUICK,
    SD15,
    SDXL,
    SMALL,
    SOURCE,
    Comfy,
    noise,
    start,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def from_image(case: Case, work: Size = SOURCE, **values: Any) -> Case:
    given = {"init_image": IMAGE, "denoise": 0.5, **values}
    return case.changed(**given).with_recipe(layout=whole(SOURCE, work))


# --- sizes


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_picture_has_the_size_that_is_asked_for(comfy: Comfy, family: str) -> None:
    found = await comfy.picture(text(FAMILIES[family]).changed(**QUICK))

    assert found.size == SMALL


async def test_an_image_is_scaled_to_what_is_sampled(comfy: Comfy) -> None:
    found = await comfy.made(from_image(SD15, Size(64, 64), batch_size=2))

    assert [one.size for one in found] == [(64, 64)] * 2
    assert found[0].tobytes() != found[1].tobytes()


async def test_of_an_animation_that_easel_made_the_first_image_is_taken(comfy: Comfy) -> None:
    """``LoadImage`` gives every frame: each would be sampled, and saved."""
    moving = "artefact:moving.webp"
    frames = [noise(SOURCE, seed) for seed in (1, 5, 6)]
    file = comfy.folder / moving
    frames[0].save(file, "WEBP", lossless=True, save_all=True, append_images=frames[1:])

    found = await comfy.picture(from_image(SD15, init_image=moving))

    assert found.tobytes() == (await comfy.picture(from_image(SD15))).tobytes()


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
    "upscale_lora": (upscaled(Size(320, 240), 0.3), {"loras": [LORA]}),
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
    assert replace(SD15, values={**SD15.values, "guidance": 3.0}).graph() == SD15.graph()
