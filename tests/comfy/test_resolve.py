"""Filling in what a request leaves open, and refusing what this ComfyUI cannot do."""

from __future__ import annotations

from typing import Any

import pytest

from comfy import TXT2IMG, Catalogue, UnresolvableError, resolve
from comfy.families.table import FAMILIES
from comfy.workflows.known import Known
from core.fields import SEED_MAX
from core.requests import GenerationRequest
from core.workflows.limits import BATCH_SIZE_MAX, SIZE_MAX

SD15, SDXL = FAMILIES["sd15"].defaults, FAMILIES["sdxl"].defaults
CATALOGUE = Catalogue(
    checkpoints=("dreamshaper_8.safetensors", "sd_xl_base_1.0.safetensors"),
    samplers=("euler", "dpmpp_2m"),
    schedulers=("normal", "karras"),
)


def ask(**values: Any) -> GenerationRequest:
    return GenerationRequest(prompt="a red fox", **values)


def problems(
    request: GenerationRequest, catalogue: Catalogue | None = CATALOGUE
) -> dict[tuple[str | int, ...], tuple[str, str]]:
    with pytest.raises(UnresolvableError) as caught:
        resolve(request, TXT2IMG, Known(catalogue))
    return {problem.loc: (problem.code, problem.message) for problem in caught.value.problems}


def test_what_is_left_open_gets_the_family_s_defaults() -> None:
    resolved = resolve(ask(), TXT2IMG, Known(CATALOGUE))
    assert resolved.model == "dreamshaper_8.safetensors"
    assert (resolved.width, resolved.height) == (SD15.width, SD15.height)
    assert (resolved.steps, resolved.cfg) == (SD15.steps, SD15.cfg)
    assert (resolved.sampler, resolved.scheduler) == (SD15.sampler, SD15.scheduler)
    assert resolved.seed in range(SEED_MAX + 1)


def test_a_default_model_comes_before_the_first_one() -> None:
    resolved = resolve(ask(), TXT2IMG, Known(CATALOGUE, default_model="sd_xl_base_1.0.safetensors"))
    assert resolved.model == "sd_xl_base_1.0.safetensors"
    assert (resolved.width, resolved.height) == (SDXL.width, SDXL.height)


def test_what_is_given_stays_even_where_it_is_zero() -> None:
    given = {"width": 128, "height": 256, "steps": 3, "cfg": 0.0, "seed": 0, "batch_size": 2}
    resolved = resolve(
        ask(**given, sampler="dpmpp_2m", scheduler="karras"), TXT2IMG, Known(CATALOGUE)
    )
    assert {name: getattr(resolved, name) for name in given} == given
    assert (resolved.sampler, resolved.scheduler) == ("dpmpp_2m", "karras")


def test_seeds_are_drawn_anew() -> None:
    assert len({resolve(ask(), TXT2IMG, Known(CATALOGUE)).seed for _ in range(5)}) == 5


def test_an_unknown_model_is_refused_with_near_matches() -> None:
    found = problems(ask(model="dreamshaper_7.safetensors"))
    code, message = found[("model",)]
    assert code == "unknown_model"
    assert "dreamshaper_8.safetensors" in message


@pytest.mark.parametrize(
    ("asked", "there", "said"),
    [
        (" a.safetensors", "a.safetensors", "differs in blanks"),
        ("A.safetensors", "a.safetensors", "differs in upper and lower case"),
        ("F\u00fcchse.ckpt", "Fu\u0308chse.ckpt", "differs in how its accents are encoded"),
    ],
)
def test_a_name_that_only_looks_alike_is_told_apart(asked: str, there: str, said: str) -> None:
    _, message = problems(ask(model=asked), Catalogue(checkpoints=(there, "b.ckpt")))[("model",)]
    assert said in message


def test_of_many_names_few_are_listed() -> None:
    many = Catalogue(checkpoints=tuple(f"model-{number}.ckpt" for number in range(30)))
    near = problems(ask(model="model.ckpt"), many)[("model",)][1]
    far = problems(ask(model="zzzzz"), many)[("model",)][1]
    assert (near.count("model-"), near.count("of 30 models")) == (3, 1)
    assert far.endswith("there are 30 models, such as model-0.ckpt")


def test_all_problems_come_at_once() -> None:
    found = problems(ask(model="zzz", sampler="zzz", scheduler="zzz"))
    assert {code for code, _ in found.values()} == {
        "unknown_model",
        "unknown_sampler",
        "unknown_scheduler",
    }


def test_too_many_pixels_after_the_defaults() -> None:
    found = problems(
        ask(model="sd_xl_base_1.0.safetensors", width=SIZE_MAX, batch_size=BATCH_SIZE_MAX)
    )
    assert found[("width",)][0] == "too_many_pixels"


@pytest.mark.parametrize("catalogue", [None, Catalogue()])
def test_no_model_anywhere(catalogue: Catalogue | None) -> None:
    assert problems(ask(), catalogue)[("model",)][0] == "no_model"


def test_without_a_checkpoint_it_says_where_to_put_one() -> None:
    (message,) = (text for _, text in problems(ask(), Catalogue()).values())
    assert "models/checkpoints" in message
    assert "name a model" not in message


def test_without_a_catalogue_names_are_taken_as_they_are() -> None:
    resolved = resolve(ask(model="some.safetensors", sampler="some"), TXT2IMG, Known())
    assert (resolved.model, resolved.sampler) == ("some.safetensors", "some")


def test_a_comfyui_without_the_family_s_sampler_uses_its_first() -> None:
    odd = Catalogue(checkpoints=("sd15.safetensors",), samplers=("lcm",), schedulers=("simple",))
    resolved = resolve(ask(), TXT2IMG, Known(odd))
    assert (resolved.sampler, resolved.scheduler) == ("lcm", "simple")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("sd_xl_base_1.0.safetensors", "sdxl"),
        ("folder/juggernautXL_v9.safetensors", "sdxl"),
        ("ponyDiffusionV6.safetensors", "sdxl-pony"),
        ("v1-5-pruned-emaonly.safetensors", "sd15"),
        ("dreamshaper_8.safetensors", "sd15"),
    ],
)
def test_families_by_file_name(name: str, family: str) -> None:
    resolved = resolve(ask(model=name), TXT2IMG, Known(Catalogue(checkpoints=(name,))))
    own = FAMILIES[family].defaults
    assert resolved.plan.recipe["family"] == family
    assert resolved.size == (own.width, own.height)
