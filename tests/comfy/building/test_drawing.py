"""What a graph does that its picture does not show: what is sampled, by which node, with what."""

from __future__ import annotations

from typing import Any, Final

import pytest

from comfy.families.table import FAMILIES
from comfy.workflows.builtin.declarations import BUILT_IN
from tests.comfy.building.cases import (
    Case,
    checkpoint,
    detailed,
    edited,
    extended,
    image,
    masked,
    text,
    twice_latent,
)
from tests.comfy.building.test_loading import classes, nodes, of, source

KLEIN: Final = FAMILIES["flux2-klein-4b"]
TURBO: Final = FAMILIES["sdxl-turbo"]


@pytest.mark.parametrize("make", [masked, extended])
@pytest.mark.parametrize("family", ["sd15", "flux1-fill", "flux2-dev"])
def test_the_model_heeds_soft_masks(family: str, make: Any) -> None:
    graph = make(FAMILIES[family]).graph()

    sampler = "CFGGuider" if family == "flux2-dev" else "KSampler"
    assert source(graph, sampler, "model") == "DifferentialDiffusion"


@pytest.mark.parametrize("make", [text, image, edited])
def test_without_a_mask_the_model_is_as_it_is(make: Any) -> None:
    assert "DifferentialDiffusion" not in classes(make(FAMILIES["flux1-kontext"]).graph())


def test_an_inpaint_model_sees_the_mask_beside_the_texts_in_both_passes() -> None:
    case = masked(FAMILIES["sdxl"]).with_recipe(traits=frozenset({"inpaint"}))
    hires = twice_latent(FAMILIES["sdxl"])
    again = case.changed(hires=hires.values["hires"]).with_recipe(hires=hires.recipe.hires)

    assert source(case.graph(), "KSampler", "positive") == "InpaintModelConditioning"
    assert source(case.graph(), "KSampler", "latent_image") == "InpaintModelConditioning"
    assert "SetLatentNoiseMask" not in classes(case.graph())
    assert classes(again.graph()).count("InpaintModelConditioning") == 2
    assert "LatentUpscale" not in classes(again.graph())


@pytest.mark.parametrize(
    ("family", "in_latent"),
    [
        ("sd15", True),
        ("flux1-dev", True),
        ("krea2", True),
        ("flux2-dev", False),
        ("hunyuan-image", False),
        ("chroma-radiance", False),
    ],
)
def test_latents_of_other_cells_are_enlarged_as_pictures(family: str, in_latent: bool) -> None:
    """LatentUpscale takes each cell for 8 × 8 pixels, whatever the model."""
    used = classes(twice_latent(FAMILIES[family]).graph())

    assert ("LatentUpscale" in used) is in_latent
    assert ("ImageScale" in used) is not in_latent


@pytest.mark.parametrize(("denoise", "told"), [(0.01, 0.25), (0.125, 0.25), (0.5, 0.5)])
def test_flux2_samples_a_step_at_least(denoise: float, told: float) -> None:
    graph = image(KLEIN).changed(steps=4, denoise=denoise).graph()

    assert of(graph, "SplitSigmasDenoise")["denoise"] == told
    assert of(graph, "SamplerCustomAdvanced")["sigmas"][1] == 1


@pytest.mark.parametrize(("denoise", "told"), [(0.01, 0.1), (0.5, 0.5), (1.0, 1.0)])
def test_sdxl_turbo_samples_a_step_at_least_and_ten_at_most(denoise: float, told: float) -> None:
    graph = image(TURBO).changed(steps=20, denoise=denoise).graph()

    assert of(graph, "SDTurboScheduler")["denoise"] == told
    assert of(graph, "SDTurboScheduler")["steps"] == 10


def test_the_sigmas_of_flux2_are_those_of_the_size() -> None:
    graph = text(KLEIN).changed(width=640, height=480, steps=7).graph()

    assert of(graph, "Flux2Scheduler") == {"steps": 7, "width": 640, "height": 480}
    assert "SplitSigmasDenoise" not in classes(graph)


@pytest.mark.parametrize(
    ("family", "negative"), [("flux2-klein-4b-base", True), ("flux1-kontext", False)]
)
def test_what_is_not_wanted_refers_to_the_images_as_the_family_was_trained(
    family: str, negative: bool
) -> None:
    graph = edited(FAMILIES[family]).graph()
    sampler = of(graph, "CFGGuider" if negative else "KSampler")

    assert graph.class_of(sampler["positive"][0]) in ("ReferenceLatent", "FluxGuidance")
    assert (graph.class_of(sampler["negative"][0]) == "ReferenceLatent") is negative


def test_without_cfg_no_negative_prompt_is_encoded() -> None:
    for family in FAMILIES.values():
        case = text(family)
        encoded = classes(case.graph()).count("CLIPTextEncode")
        assert encoded == (1 if case.values["cfg"] == 1 else 2), family.name
        assert ("ConditioningZeroOut" in classes(case.graph())) is (encoded == 1)


def test_a_preamble_stands_before_the_prompt_alone() -> None:
    texts = [
        inputs["text"]
        for name, inputs in nodes(text(FAMILIES["lumina2"]).graph())
        if name == "CLIPTextEncode"
    ]

    assert texts == [f"{FAMILIES['lumina2'].preamble}a red fox", "blurry"]


@pytest.mark.parametrize(
    "family", [name for name, family in FAMILIES.items() if family.needs_reference]
)
def test_a_model_that_only_edits_looks_at_the_image_that_it_starts_from(family: str) -> None:
    for case in (image(FAMILIES[family]), detailed(FAMILIES[family])):
        encoders = [inputs for name, inputs in nodes(case.graph()) if "QwenImageEdit" in name]
        assert len(encoders) == 2
        for inputs in encoders:
            assert {"image", "image1"} & inputs.keys()


@pytest.mark.parametrize(
    ("make", "pixels"), [(text, 512 * 512), (masked, 640 * 480), (extended, 832 * 480)]
)
def test_the_size_of_what_is_saved_is_known(make: Any, pixels: int) -> None:
    case: Case = make(FAMILIES["sd15"])

    graph = case.changed(batch_size=3).graph()

    assert (graph.pixels, graph.expected_outputs) == (pixels, 3)
    assert twice_latent(FAMILIES["sd15"]).graph().pixels == 768 * 768


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_declared_output_is_what_saves(name: str) -> None:
    case = detailed(FAMILIES["sd15"]) if name == "upscale" else checkpoint(FAMILIES["sd15"])

    [output] = BUILT_IN[name].outputs

    assert case.graph().class_of(output.node) == "SaveImage"
    assert classes(case.graph()).count("SaveImage") == 1
