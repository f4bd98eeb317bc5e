"""What the built-in workflows draw, on the emulator and on a real ComfyUI with the tiny models.

``tiny_models.py`` makes these; on a real ComfyUI without them these tests are skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image

from comfy import ComfySession
from comfy.emulator import EmulatorOptions
from comfy.families.table import FAMILIES
from comfy.workflows.builtin.recipe import Layout
from comfy.workflows.layout import Box, Size, growth
from tests.comfy.building.cases import Case, control, whole
from tests.comfy.building.running import differs, grown, turned
from tests.contract.conftest import Target
from tests.contract.studio import (
    ANIMA,
    AREAS,
    INPAINT_MODEL,
    OTHER,
    REFINER,
    SD15,
    SDXL,
    SMALL,
    SOURCE,
    START,
    UPSCALER,
    WITHIN_S,
    Studio,
    from_image,
    hole,
    start,
    within_mask,
)

pytestmark = pytest.mark.timeout(2 * WITHIN_S)
DETAIL: Final = "tiny-sd15.safetensors"


@pytest.fixture
def emulator_options(tmp_path: Path) -> EmulatorOptions:
    """The emulator loads every model here by its name."""
    return EmulatorOptions(step_time=0.0, any_model=True, output_dir=tmp_path / "output")


@pytest.fixture
async def studio(session: ComfySession, target: Target) -> Studio:
    models = (await session.client.catalogue()).checkpoints
    if target.emulator is None and DETAIL not in models:
        pytest.skip(f"this ComfyUI has no {DETAIL}: make it with tests/contract/tiny_models.py")
    return await Studio.on(session)


# --- from a text, from an image


@pytest.mark.parametrize("case", [SD15, SDXL, ANIMA], ids=["sd15", "sdxl", "anima"])
async def test_text_and_seed_make_the_picture(studio: Studio, case: Case) -> None:
    two = await studio.made(case.changed(batch_size=2))
    other_seed = await studio.picture(case.changed(seed=8))
    other_text = await studio.picture(case.changed(prompt="a blue whale"))

    assert [one.size for one in two] == [SMALL, SMALL]
    assert len({one.tobytes() for one in (*two, other_seed, other_text)}) == 4


@pytest.mark.parametrize("case", [SD15, ANIMA], ids=["sd15", "anima"])
async def test_an_image_is_scaled_and_drawn_anew_as_far_as_asked(
    studio: Studio, case: Case
) -> None:
    work = Size(64, 80)
    little, much = [
        await studio.picture(from_image(case, work, denoise=share)) for share in (0.4, 1.0)
    ]
    two = await studio.made(from_image(case, work, batch_size=2))

    assert little.size == much.size == work
    assert [one.size for one in two] == [work, work]
    assert len({one.tobytes() for one in (little, much, *two)}) == 4


# --- within a mask


@pytest.mark.parametrize("many", [1, 2])
@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize(
    "case",
    [SD15, SDXL, INPAINT_MODEL, ANIMA],
    ids=["sd15", "sdxl", "inpaint_model", "anima"],
)
async def test_what_is_not_masked_stays_as_it_is(
    studio: Studio, case: Case, area: str, many: int
) -> None:
    layout = AREAS[area]
    cell = FAMILIES[case.recipe.family].size_multiple
    reach = growth(8, cell, layout.crop.size, layout.work) + 8

    found = await studio.made(within_mask(case, layout, batch_size=many))

    assert len(found) == many
    for one in found:
        assert one.size == SOURCE
        assert differs(one, start(), turned(grown(hole(), reach))) == 0
        assert differs(one, start(), hole()) > 0
    assert many == 1 or found[0].tobytes() != found[1].tobytes()


async def test_what_is_added_beyond_the_sides_is_new(studio: Studio) -> None:
    padded = Size(128, 88)
    layout = Layout(source=SOURCE, padded=padded, crop=Box.of(padded), work=padded, pastes=True)
    sides = {"left": 24, "top": 0, "right": 8, "bottom": 16}
    values = {"init_image": START, "outpaint": sides, "mask_feather": 8, "denoise": 1.0}

    found = await studio.picture(SD15.changed(**values).with_recipe(layout=layout))

    added = Image.new("L", padded, 255)
    added.paste(0, (24, 0, 24 + SOURCE.width, SOURCE.height))
    before = Image.new("RGB", padded, (128, 128, 128))
    before.paste(start(), (24, 0))
    assert found.size == padded
    assert differs(found, before, turned(grown(added, 16))) == 0
    assert differs(found, before, added) > 0.9 * added.histogram()[255]


# --- what goes on top of a model


@pytest.mark.parametrize("case", [SD15, SDXL], ids=["sd15", "sdxl"])
async def test_a_lora_counts_by_its_strength(studio: Studio, case: Case) -> None:
    name = f"tiny-{case.recipe.family}-lora.safetensors"

    def with_lora(**strength: float) -> Case:
        return case.changed(loras=[{"name": name, **strength}])

    plain = await studio.picture(case)
    none, whole_of_it, of_model, of_encoder = [
        await studio.picture(with_lora(**strength))
        for strength in (
            {"strength": 0.0},
            {"strength": 1.0},
            {"strength": 1.0, "strength_clip": 0.0},
            {"strength": 0.0, "strength_clip": 1.0},
        )
    ]

    assert none.tobytes() == plain.tobytes()
    made = (plain, whole_of_it, of_model, of_encoder)
    assert len({one.tobytes() for one in made}) == len(made)


@pytest.mark.parametrize("case", [SD15, SDXL], ids=["sd15", "sdxl"])
async def test_a_control_counts_by_its_strength(studio: Studio, case: Case) -> None:
    own = control(f"tiny-{case.recipe.family}-control.safetensors", image=START, preprocess="canny")

    def with_control(**changes: Any) -> Case:
        changed = case.changed(controls=[{**own, **changes}])
        return changed.with_recipe(controls=("net",))

    plain = await studio.picture(case)
    none = await studio.picture(with_control(strength=0.0))
    drawn = [
        await studio.picture(with_control(**changes))
        for changes in ({}, {"strength": 0.3}, {"image": OTHER}, {"preprocess": "none"})
    ]

    assert none.tobytes() == plain.tobytes()
    assert len({one.tobytes() for one in (plain, *drawn)}) == 1 + len(drawn)


async def test_clip_skip_takes_another_layer(studio: Studio) -> None:
    skips: tuple[dict[str, int], ...] = ({}, {"clip_skip": 1}, {"clip_skip": 2})

    plain, first, second = [await studio.picture(SD15.changed(**skip)) for skip in skips]

    assert first.tobytes() == plain.tobytes()
    assert second.tobytes() != plain.tobytes()


async def test_a_refiner_draws_the_last_steps(studio: Studio) -> None:
    def refined(switch_at: float) -> Case:
        return SDXL.changed(steps=4, refiner={"model": REFINER, "switch_at": switch_at})

    plain = await studio.picture(SDXL.changed(steps=4))
    late, early, never = [await studio.picture(refined(at)) for at in (0.75, 0.25, 1.0)]

    assert never.tobytes() == plain.tobytes()
    assert len({one.tobytes() for one in (plain, late, early)}) == 3


# --- larger


@pytest.mark.parametrize("method", ["latent", "model"])
@pytest.mark.parametrize("case", [SD15, SDXL, ANIMA], ids=["sd15", "sdxl", "anima"])
async def test_the_second_pass_gives_its_own_size(studio: Studio, case: Case, method: str) -> None:
    model = UPSCALER if method == "model" else None
    hires = {"method": method, "model": model, "scale": 1.5, "steps": 2, "denoise": 0.5}
    drawn_twice = case.changed(hires=hires).with_recipe(hires=Size(112, 96))

    found = await studio.picture(drawn_twice)
    less = await studio.picture(drawn_twice.changed(hires={**hires, "denoise": 0.9}))

    assert found.size == less.size == (112, 96)
    assert found.tobytes() != less.tobytes()


async def test_a_second_pass_within_a_mask_gives_the_size_of_the_image(studio: Studio) -> None:
    for base in (SD15, INPAINT_MODEL, ANIMA):
        for method in ("latent", "model"):
            model = UPSCALER if method == "model" else None
            hires = {"method": method, "model": model, "scale": 1.5, "steps": 2, "denoise": 0.5}
            case = within_mask(base, AREAS["masked"], hires=hires)

            found = await studio.picture(case.with_recipe(hires=Size(112, 112)))

            assert found.size == SOURCE
            cell = FAMILIES[base.recipe.family].size_multiple
            assert differs(found, start(), turned(grown(hole(), max(8, cell) + 8))) == 0
            assert differs(found, start(), hole()) > 0


@pytest.mark.parametrize("detail", [0.0, 0.4])
async def test_upscaling_gives_exactly_the_size(studio: Studio, detail: float) -> None:
    size = Size(177, 131)
    values = {
        "init_image": START, "scale": 2.0, "model": UPSCALER, "detail": detail,
        "detail_model": DETAIL, "steps": 3, "seed": 1,
    }  # fmt: skip
    recipe = SD15.with_recipe(layout=whole(SOURCE, size)).recipe
    case = Case(values, recipe, "upscale")

    found = await studio.picture(case)
    alone = await studio.picture(case.changed(model=None))

    assert found.size == alone.size == size
    assert found.tobytes() != alone.tobytes()
