"""Which model a request gets, as which family, and what is loaded beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from comfy import Catalogue, UnresolvableError, resolve
from comfy.families.family import Family
from comfy.families.models import ModelFile, Models, Trait
from comfy.families.table import FAMILIES
from comfy.workflows.builtin.declarations import BUILT_IN
from comfy.workflows.builtin.models import default_model
from comfy.workflows.known import Known
from core.requests import GenerationRequest
from tests.comfy.builtin.asking import (
    CATALOGUE,
    ENCODERS,
    IMAGE,
    KNOWN,
    MASK,
    OTHER,
    VAES,
    again,
    folder,
    known,
    model,
    notices,
    problems,
    resolved,
    said,
)

FLUX: Final = model("flux1-dev")
DRAWING: Final = [
    name
    for name, family in FAMILIES.items()
    if not family.needs_reference and not family.inpaints_by_conditioning
]


@pytest.mark.parametrize("name", DRAWING)
def test_each_family_s_own_values_are_used(name: str) -> None:
    family = FAMILIES[name]

    request = resolved(model=model(name))

    own = family.defaults
    assert (request.width, request.height) == (own.width, own.height)
    assert (request.steps, request.cfg) == (own.steps, own.cfg)
    assert request.inputs.get("guidance") == own.guidance
    assert request.plan.recipe["family"] == name
    assert request.plan.models[folder(name)] == (model(name),)
    assert not {"family_guessed", "size_rounded"} & set(notices(request))


def test_what_a_diffusion_model_needs_is_found_by_its_name() -> None:
    request = resolved(model=FLUX)

    assert request.inputs["text_encoders"] == [
        "clip_l.safetensors",
        "t5xxl_fp8_e4m3fn_scaled.safetensors",
    ]
    assert request.inputs["vae"] == "ae.safetensors"


def test_a_family_that_works_on_pixels_needs_no_file() -> None:
    request = resolved(model=model("chroma-radiance"))

    assert request.inputs["vae"] == "pixel_space"
    assert "vae" not in request.plan.models


def test_a_checkpoint_has_its_own() -> None:
    request = resolved(model="whole-sdxl.safetensors")

    assert not {"text_encoders", "vae"} & set(request.inputs)


def test_the_request_s_word_counts_before_the_owner_s_and_that_before_the_rules() -> None:
    own = ModelFile(
        "diffusion_models", "mine.sft", "z-image", "setting", text_encoders=("own.sft",), vae="own"
    )
    beside = replace(
        known(own), catalogue=replace(
            CATALOGUE,
            diffusion_models=("mine.sft",),
            text_encoders=(*ENCODERS, "own.sft", "asked.sft"),
            vaes=(*VAES, "own", "asked"),
        )
    )  # fmt: skip

    by_owner = resolved(known=beside, model="mine.sft")
    by_request = resolved(known=beside, model="mine.sft", text_encoders=["asked.sft"], vae="asked")

    assert (by_owner.inputs["text_encoders"], by_owner.inputs["vae"]) == (["own.sft"], "own")
    assert by_request.inputs["text_encoders"] == ["asked.sft"]
    assert by_request.inputs["vae"] == "asked"


def test_what_the_owner_set_can_be_asked_for_again() -> None:
    """A result says the files that were used, also those that are unlike the family's."""
    own = ModelFile(
        "checkpoints", "mine.sft", "sd15", "setting", text_encoders=("clip_g.safetensors",) * 2,
        vae="ae.safetensors",
    )  # fmt: skip
    beside = known(own)
    by_owner = resolved(known=beside, model="mine.sft")

    assert by_owner.inputs["vae"] == "ae.safetensors"
    assert again(by_owner, beside).inputs == by_owner.inputs
    others = {"vae": "sd3_vae.safetensors", "text_encoders": ["clip_l.safetensors"] * 2}
    assert {
        loc: code for loc, (code, _) in problems(known=beside, **by_owner.inputs | others).items()
    } == {
        ("vae",): "excluded",
        ("text_encoders",): "excluded",
    }


@pytest.mark.parametrize(
    ("trait", "gets", "loader"),
    [("without_encoder", "text_encoders", "DualCLIPLoader"), ("without_vae", "vae", "VAELoader")],
)
def test_a_checkpoint_with_only_a_model_inside_gets_the_rest(
    trait: Trait, gets: str, loader: str
) -> None:
    bare = ModelFile("checkpoints", "bare.sft", "flux1-dev", "header", traits=frozenset({trait}))

    request = resolved(known=known(bare), model="bare.sft")

    assert {"text_encoders", "vae"} & set(request.inputs) == {gets}
    assert loader in request.plan.classes


def test_a_checkpoint_with_only_a_model_inside_of_a_family_without_parts() -> None:
    traits: frozenset[Trait] = frozenset({"without_encoder", "without_vae"})
    bare = ModelFile("checkpoints", "bare.sft", "auraflow", "header", traits=traits)

    found = problems(known=known(bare), model="bare.sft")

    assert {loc: code for loc, (code, _) in found.items()} == {
        ("text_encoders",): "missing_models",
        ("vae",): "missing_models",
    }


# --- what is missing


def test_missing_files_are_named_with_their_folders() -> None:
    empty = replace(KNOWN, catalogue=replace(CATALOGUE, text_encoders=(), vaes=()))

    found = problems(known=empty, model=FLUX)

    codes = {loc: code for loc, (code, _) in found.items()}
    assert codes == {("text_encoders",): "missing_models", ("vae",): "missing_models"}
    assert "models/vae/ae.safetensors" in found[("vae",)][1]
    assert "models/text_encoders/" in found[("text_encoders",)][1]


def test_each_missing_text_encoder_is_named() -> None:
    empty = replace(KNOWN, catalogue=replace(CATALOGUE, text_encoders=()))
    with pytest.raises(UnresolvableError) as caught:
        resolved(known=empty, model=model("hidream-full"))

    messages = [one.message for one in caught.value.problems]
    assert len(messages) == len(_parts(FAMILIES["hidream-full"]))
    assert "llama_3.1_8b_instruct_fp8_scaled.safetensors" in messages[-1]


def _parts(family: Family) -> tuple[str, ...]:
    assert family.parts is not None
    return family.parts.encoders


def test_before_comfyui_was_reached_a_diffusion_model_s_files_must_be_named() -> None:
    away = replace(KNOWN, catalogue=None)

    found = problems(known=away, model=FLUX)
    request = resolved(
        known=away, model=FLUX, text_encoders=["any.sft", "other.sft"], vae="some.sft"
    )

    assert found[("vae",)][0] == "missing_models"
    assert "has not been reached yet" in found[("vae",)][1]
    assert request.inputs["text_encoders"] == ["any.sft", "other.sft"]


def test_a_comfyui_that_is_too_old_for_the_family() -> None:
    old = replace(KNOWN, catalogue=replace(CATALOGUE, version="0.3.64"))
    unknown = replace(KNOWN, catalogue=replace(CATALOGUE, version=""))

    code, message = problems(known=old, model=model("z-image"))[("model",)]

    assert code == "comfyui_too_old"
    assert "0.3.74" in message
    assert "0.3.64" in message
    assert resolved(known=old, model=FLUX).model == FLUX
    assert resolved(known=unknown, model=model("z-image")).model == model("z-image")


# --- models of which little is known


def test_a_checkpoint_without_a_telling_name_is_taken_as_always() -> None:
    only = Known(Catalogue(checkpoints=("dreamshaper_8.safetensors",)))

    request = resolved(known=only)

    assert request.plan.recipe["family"] == "sd15"
    assert notices(request) == {"family_guessed": ("model",)}
    assert "PUT /api/v1/models/checkpoints/dreamshaper_8.safetensors" in said(
        request, "family_guessed"
    )


def test_a_checkpoint_whose_name_means_another_kind_is_taken_as_always() -> None:
    only = Known(Catalogue(checkpoints=("svd_xt.safetensors",)))

    assert notices(resolved(known=only)) == {"family_guessed": ("model",)}


def test_one_whose_name_means_another_kind_is_not_the_default_beside_others() -> None:
    both = Known(Catalogue(checkpoints=("ltx-video-2b.safetensors", "zavychroma.safetensors")))
    chosen = replace(both, default_model="ltx-video-2b.safetensors")

    assert resolved(known=both).model == default_model(both) == "zavychroma.safetensors"
    assert resolved(known=chosen).model == default_model(chosen) == "ltx-video-2b.safetensors"


def test_a_name_that_says_the_family_is_no_guess() -> None:
    only = Known(Catalogue(checkpoints=("sd_xl_base_1.0.safetensors",)))

    assert notices(resolved(known=only)) == {}


@pytest.mark.parametrize(
    "file",
    [
        ModelFile("checkpoints", "a.sft", None, "header", "Wan, by x in the file's header"),
        ModelFile("checkpoints", "a.sft", None, "unknown", "its header fits no known family"),
        ModelFile("checkpoints", "a.sft", None, "metadata", "Mochi in its metadata"),
        ModelFile("diffusion_models", "a.sft"),
        ModelFile("diffusion_models", "a.sft", None, "name", "Wan, by wan in its name"),
    ],
)
def test_what_is_known_as_none_of_the_families_is_refused(file: ModelFile) -> None:
    code, message = problems(known=known(file), model="a.sft")[("model",)]

    assert code == "unknown_family"
    assert file.detail in message
    assert f"PUT /api/v1/models/{file.folder}/a.sft" in message


def test_a_family_that_comes_as_checkpoints_only() -> None:
    file = ModelFile("diffusion_models", "a.sft", "auraflow", "header")

    code, message = problems(known=known(file), model="a.sft")[("model",)]

    assert code == "unknown_family"
    assert "models/checkpoints" in message


def test_a_diffusion_model_may_be_the_default() -> None:
    only = replace(
        KNOWN,
        catalogue=replace(CATALOGUE, checkpoints=(), diffusion_models=(model("z-image"),)),
    )

    assert resolved(known=only).model == model("z-image")


@pytest.mark.parametrize(
    ("workflow", "inputs", "chosen"),
    [
        ("txt2img", {}, "z-image"),
        ("edit", {"reference_images": [OTHER]}, "qwen-image-edit"),
        ("inpaint", {"init_image": IMAGE, "mask": MASK}, "flux1-fill"),
        ("img2img", {"init_image": IMAGE}, "qwen-image-edit"),
    ],
)
def test_the_default_is_the_first_that_can_do_what_is_asked_for(
    workflow: str, inputs: dict[str, Any], chosen: str
) -> None:
    names = ("flux1-fill", "qwen-image-edit", "z-image", "flux2-dev")
    only = replace(CATALOGUE, checkpoints=(), diffusion_models=tuple(map(model, names)))

    request = resolved(workflow, known=replace(KNOWN, catalogue=only), **inputs)

    assert request.model == model(chosen)


@pytest.mark.parametrize(
    ("workflow", "inputs", "chosen"),
    [
        ("txt2img", {}, "c.sft"),
        ("img2img", {"init_image": IMAGE}, "c.sft"),
        ("inpaint", {"init_image": IMAGE, "mask": MASK}, "b.sft"),
    ],
)
def test_the_default_draws_all_by_itself(
    workflow: str, inputs: dict[str, Any], chosen: str
) -> None:
    files = (
        ModelFile("checkpoints", "a.sft", "sdxl", "header", traits=frozenset({"refiner"})),
        ModelFile("checkpoints", "b.sft", "sdxl", "header", traits=frozenset({"inpaint"})),
        ModelFile("checkpoints", "c.sft", "sd15", "header"),
    )
    names = tuple(one.name for one in files)
    only = replace(
        KNOWN,
        catalogue=replace(CATALOGUE, checkpoints=names, diffusion_models=()),
        models=Models.of(files),
    )

    assert resolved(workflow, known=only, **inputs).model == chosen
    alone = replace(CATALOGUE, checkpoints=("a.sft",), diffusion_models=())
    refiner = replace(only, catalogue=alone)
    assert resolved(workflow, known=replace(only, default_model="a.sft"), **inputs).model == "a.sft"
    assert resolved(workflow, known=refiner, **inputs).model == "a.sft"


def test_a_default_that_was_set_counts_where_it_can_do_what_is_asked_for() -> None:
    chosen = replace(KNOWN, default_model=model("z-image"))

    assert resolved(known=chosen).model == model("z-image")
    edited = resolved("edit", known=chosen, reference_images=[OTHER])
    assert FAMILIES[edited.model.removesuffix(".safetensors")].edit is not None


def test_why_a_default_that_was_set_cannot_be_used_is_told() -> None:
    strange = known(ModelFile("checkpoints", "a.sft", None, "header", "Wan"))

    assert problems(known=replace(strange, default_model="a.sft"))[("model",)][0] == (
        "unknown_family"
    )
    assert problems(known=replace(strange, default_model="b.sft"))[("model",)][0] == "unknown_model"


def test_of_two_folders_with_one_name_the_checkpoint_counts() -> None:
    twin = ModelFile("checkpoints", FLUX, "sd15", "header")

    assert resolved(known=known(twin), model=FLUX).plan.recipe["family"] == "sd15"


def test_what_is_known_anew_counts_at_once() -> None:
    """Answers are kept for what they were found from, and for nothing else."""
    before = known(ModelFile("checkpoints", "a.sft", "sd15", "name"))
    after = replace(before, models=Models.of([ModelFile("checkpoints", "a.sft", "sdxl", "header")]))

    families = [
        resolved(known=one, model="a.sft").plan.recipe["family"] for one in (before, after, before)
    ]

    assert families == ["sd15", "sdxl", "sd15"]


# --- files that do not go with the family


@pytest.mark.parametrize(
    ("name", "inputs", "loc"),
    [
        ("chroma-radiance", {"vae": "ae.safetensors"}, ("vae",)),
        ("sdxl", {"vae": "ae.safetensors"}, ("vae",)),
        ("flux1-dev", {"vae": "sdxl_vae.safetensors"}, ("vae",)),
        ("sd2", {"text_encoders": ["clip_l.safetensors"]}, ("text_encoders",)),
        ("flux1-dev", {"text_encoders": ["clip_l.safetensors"]}, ("text_encoders",)),
        ("z-image", {"text_encoders": ["qwen_3_4b.safetensors"] * 2}, ("text_encoders",)),
    ],
)
def test_files_of_other_families_are_refused(
    name: str, inputs: dict[str, Any], loc: tuple[str, ...]
) -> None:
    assert problems(model=model(name), **inputs)[loc][0] == "excluded"


@pytest.mark.parametrize(
    ("name", "vae"),
    [
        ("qwen-image", "wan_2.1_vae.safetensors"),
        ("cosmos-predict2", "qwen_image_vae.safetensors"),
        ("sdxl", "sdxl_vae.safetensors"),
    ],
)
def test_a_vae_that_fits_is_taken(name: str, vae: str) -> None:
    assert resolved(model=model(name), vae=vae).inputs["vae"] == vae


def test_sd3_goes_without_its_largest_text_encoder() -> None:
    request = resolved(
        model=model("sd35-large"), text_encoders=["clip_g.safetensors", "clip_l.safetensors"]
    )

    assert "DualCLIPLoader" in request.plan.classes


def test_gguf_is_loaded_by_the_pack_s_own_nodes() -> None:
    file = ModelFile("diffusion_models", "flux1-dev-Q4.gguf", "flux1-dev", "header")
    used = resolved(known=known(file), model="flux1-dev-Q4.gguf").plan.classes

    assert "UnetLoaderGGUF" in used
    assert "UNETLoader" not in used


def test_a_refusal_is_the_same_for_each_row_until_the_files_change() -> None:
    lacking = replace(KNOWN, catalogue=replace(CATALOGUE, vaes=()))
    first = problems(known=lacking, model=FLUX)
    assert first["vae",][0] == "missing_models"

    assert problems(known=lacking, model=FLUX) == first
    there = replace(lacking, catalogue=CATALOGUE)
    assert resolved(known=there, model=FLUX).inputs["vae"] == "ae.safetensors"
    assert problems(known=lacking, model=FLUX) == first


def test_names_like_a_misspelt_one_are_told_to_those_who_ask_for_them() -> None:
    request = GenerationRequest(inputs={"prompt": "a fox", "model": "whole-sdxk.safetensors"})
    for suggest in (False, True, False):
        with pytest.raises(UnresolvableError) as caught:
            resolve(request, BUILT_IN["txt2img"], KNOWN, suggest=suggest)
        [problem] = caught.value.problems
        assert ("near matches: whole-sdxl.safetensors" in problem.message) is suggest
