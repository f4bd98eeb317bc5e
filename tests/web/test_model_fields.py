"""The studio's fields for model files: by family, with what fits it, and what it does not hear."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

import pytest
from nicegui import ui
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction

import web.studio.workflows
from api.context import Context
from comfy.families.models import ModelFile, Models
from core.requests import ResolvedRequest
from store.values import HistoryFilter
from tests.web.conftest import CATALOGUE
from tests.web.visiting import DEADLINE_S, elements, field, press, texts, tick, until, write
from web.forms.drafts import Draft
from web.forms.model_select import ModelSelect
from web.parts.elements import Text

SD: Final = "dreamshaper_8.safetensors"
XL: Final = "sd_xl_base_1.0.safetensors"
FLUX: Final = "flux1-dev.safetensors"
KONTEXT: Final = "flux1-kontext.safetensors"
ODD: Final = "homemade.safetensors"
INK: Final = "styles/ink-wash.safetensors"
OLD: Final = "old-photo.safetensors"
ULTRA: Final = "4x-UltraSharp.pth"
_FILES: Final = (
    ModelFile("checkpoints", SD, "sd15", "header"),
    ModelFile("checkpoints", XL, "sdxl", "header"),
    ModelFile("diffusion_models", FLUX, "flux1-dev", "setting"),
    ModelFile("checkpoints", ODD),
    ModelFile("loras", INK, "sdxl", "header", trigger_words=("ink wash", "水墨画")),
    ModelFile("loras", OLD, "sd15", "metadata"),
)


@pytest.fixture
def models(context: Context) -> Context:
    """ComfyUI has these files, and they are known by their headers."""
    context.facade.catalogue._catalogue = replace(
        CATALOGUE,
        checkpoints=(XL, SD, ODD),
        diffusion_models=(FLUX,),
        loras=(INK, OLD),
        samplers=("euler", "dpmpp_2m"),
        schedulers=("normal", "karras", "simple"),
    )
    context.facade.models.current = Models.of(_FILES)
    return context


@pytest.fixture
async def studio(user: User, models: Context) -> User:
    await user.open("/")
    await until(lambda: "by its header" in str(field(user, "Model").props.get("hint")))
    return user


def select(user: User, label: str) -> ModelSelect:
    found = field(user, label)
    assert isinstance(found, ModelSelect)
    return found


def placeholder(user: User, label: str) -> Any:
    return field(user, label).props.get("placeholder")


def is_grey(user: User, label: str) -> bool:
    return "is-unheard" in field(user, label).classes


def draft(user: User) -> Draft:
    assert user.client is not None
    with user.client:
        return Draft.load()


async def made_by(user: User, context: Context) -> ResolvedRequest:
    await press(user, "Generate")
    async with asyncio.timeout(DEADLINE_S):
        while not (page := await context.facade.history(HistoryFilter(), 1, None)).items:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    request = page.items[0].request
    assert isinstance(request, ResolvedRequest)
    return request


async def test_models_of_one_family_stand_beside_each_other(studio: User) -> None:
    picker = select(studio, "Model")
    assert list(picker.options) == [SD, XL, FLUX, ODD]
    said = [option["said"] for option in picker.props["options"]]
    assert said == [
        "SD 1.5 · by its header", "SDXL · by its header", "Flux.1 dev · as you said",
        "Family unknown",
    ]  # fmt: skip


async def test_another_family_changes_what_was_left_alone(studio: User) -> None:
    write(studio, "CFG", 5.5)
    write(studio, "Model", SD)
    await until(lambda: placeholder(studio, "Steps") == "20")
    assert field(studio, "Width").value == 512
    write(studio, "Model", FLUX)
    await until(lambda: field(studio, "Width").value == 1024)
    assert field(studio, "Scheduler").value == "simple"
    assert field(studio, "CFG").value == 5.5
    assert placeholder(studio, "Guidance") == "3.5"
    assert draft(studio).scheduler is None


async def test_the_model_shown_for_an_edit_is_one_that_edits(user: User, models: Context) -> None:
    catalogue = models.facade.catalogue.current
    assert catalogue is not None
    models.facade.catalogue._catalogue = replace(catalogue, diffusion_models=(FLUX, KONTEXT))
    edits = ModelFile("diffusion_models", KONTEXT, "flux1-kontext", "header")
    models.facade.models.current = Models.of((*_FILES, edits))
    await user.open("/")
    await until(lambda: "by its header" in str(field(user, "Model").props.get("hint")))
    assert select(user, "Model").value == XL
    write(user, "Workflow", "edit")
    await until(lambda: select(user, "Model").value == KONTEXT)
    assert "Flux.1 Kontext" in select(user, "Model").props["hint"]
    write(user, "Workflow", "img2img")
    await until(lambda: select(user, "Model").value == XL)


async def test_what_a_family_does_not_hear_is_grey_and_says_why(studio: User) -> None:
    assert is_grey(studio, "Guidance")
    assert "no guidance" in field(studio, "Guidance").props["hint"]
    assert not is_grey(studio, "Negative prompt")
    assert not is_grey(studio, "Clip skip")
    write(studio, "Model", FLUX)
    await until(lambda: is_grey(studio, "Clip skip"))
    assert is_grey(studio, "Negative prompt")
    assert "CFG 1" in field(studio, "Negative prompt").props["hint"]
    write(studio, "CFG", 3)
    await until(lambda: not is_grey(studio, "Negative prompt"))


async def test_a_model_of_unknown_family_leads_to_the_page_of_models(studio: User) -> None:
    def notes() -> list[ui.element]:
        return [
            one
            for one in elements(studio)
            if "family-note" in one.classes and "is-away" not in one.classes
        ]

    assert notes() == []
    write(studio, "Model", ODD)
    await until(lambda: len(notes()) == 1)
    [link] = [one for one in notes()[0] if one.tag == "a"]
    assert link.props["href"] == "/models"


async def test_loras_that_fit_are_offered_and_the_others_on_demand(studio: User) -> None:
    write(studio, "Model", XL)
    await press(studio, "Add to LoRAs")
    await until(lambda: list(select(studio, "LoRA").options) == [INK])
    await press(studio, "Show all (1 not for SDXL)")
    await until(lambda: list(select(studio, "LoRA").options) == [OLD, INK])
    write(studio, "LoRA", OLD)
    await until(lambda: any("For SD 1.5" in said for said in texts(studio, "field-note")))
    write(studio, "Model", SD)
    await until(lambda: not any("For SD 1.5" in said for said in texts(studio, "field-note")))
    assert select(studio, "LoRA").value == OLD


async def test_loras_of_an_upscale_are_for_its_detail(studio: User) -> None:
    why = "With detail 0 nothing is drawn anew."
    write(studio, "Workflow", "upscale")
    await until(lambda: why in texts(studio, "why"))
    write(studio, "Detail", 0.3)
    await until(lambda: why not in texts(studio, "why"))
    write(studio, "Model for the detail", XL)
    await press(studio, "Add to LoRAs")
    await until(lambda: list(select(studio, "LoRA").options) == [INK])


async def test_a_trigger_word_goes_into_the_prompt_once(studio: User) -> None:
    write(studio, "Prompt", "a fox, ")
    write(studio, "Model", XL)
    await press(studio, "Add to LoRAs")
    write(studio, "LoRA", INK)
    for _ in range(2):
        await press(studio, "水墨画")
    await until(lambda: field(studio, "Prompt").value == "a fox, 水墨画")
    assert draft(studio).prompt == "a fox, 水墨画"


async def test_what_the_declaration_has_more_is_what_is_made(studio: User, models: Context) -> None:
    write(studio, "Prompt", "a fox")
    write(studio, "Model", XL)
    await press(studio, "Add to LoRAs")
    write(studio, "LoRA", INK)
    write(studio, "Strength", 0.7)
    tick(studio, "Second pass")
    await until(lambda: field(studio, "Scale").value == 1.5)
    write(studio, "Scale", 2)
    write(studio, "Clip skip", 2)
    made = await made_by(studio, models)
    [lora] = made.inputs["loras"]
    assert (lora["name"], lora["strength"]) == (INK, 0.7)
    assert made.inputs["hires"]["scale"] == 2
    assert made.inputs["clip_skip"] == 2
    assert made.inputs.get("refiner") is None


async def test_mistakes_inside_of_lists_and_groups_are_told_there(
    studio: User, models: Context
) -> None:
    write(studio, "Prompt", "a fox")
    await press(studio, "Add to LoRAs")
    tick(studio, "Refiner")
    await until(lambda: field(studio, "Switch at").value == 0.8)
    write(studio, "Strength", 90)
    await press(studio, "Generate")
    await until(lambda: field(studio, "LoRA").error == "Choose a file first.")
    assert "20" in (field(studio, "Strength").error or "")
    refiner = [
        one
        for one in elements(studio)
        if isinstance(one, ModelSelect) and one.props["label"] == "Model"
    ][-1]
    assert refiner.error == "Choose a file first."
    assert not (await models.facade.history(HistoryFilter(), 1, None)).items


async def test_a_missing_part_is_told_in_the_words_of_the_form(studio: User) -> None:
    write(studio, "Prompt", "a fox")
    write(studio, "Model", FLUX)
    await press(studio, "Generate")
    said = "put it there, or name another file in “VAE”. For all requests with this model, set it"
    await until(lambda: said in str(field(studio, "VAE").error))
    assert "models/vae/ae.safetensors" in str(field(studio, "VAE").error)
    [encoders] = [text for text in texts(studio, "field-note") if "text encoder" in text]
    assert "models/text_encoders/clip_l.safetensors" in encoders
    assert encoders.endswith(
        "in “Text encoders”. " + said.partition(". ")[2] + " on the page Models."
    )


async def test_what_is_not_ticked_any_more_is_not_made(studio: User, models: Context) -> None:
    write(studio, "Prompt", "a fox")
    tick(studio, "Second pass")
    await until(lambda: "hires" in draft(studio).more)
    tick_off(studio, "Second pass")
    await until(lambda: "hires" not in draft(studio).more)
    made = await made_by(studio, models)
    assert made.inputs.get("hires") is None


def _says(element: ui.element, label: str) -> bool:
    return any(isinstance(child, Text) and child.text == label for child in element)


def tick_off(user: User, label: str) -> None:
    """Take the tick from the box with that label."""
    [made] = [one for one in elements(user) if one.tag == "label" and _says(one, label)]
    [ticked] = [child for child in made if child.tag == "input"]
    UserInteraction(user, {ticked}, None).trigger("change", False)


@pytest.mark.parametrize(
    ("upscalers", "said"),
    [((ULTRA, "RealESRGAN.pth"), ULTRA), ((), "ComfyUI has none")],
    ids=["some", "none"],
)
async def test_the_upscale_model_that_is_used_is_named(
    user: User, models: Context, upscalers: tuple[str, ...], said: str
) -> None:
    current = models.facade.catalogue.current
    assert current is not None
    models.facade.catalogue._catalogue = replace(current, upscalers=upscalers)
    await user.open("/?workflow=upscale")
    await until(lambda: placeholder(user, "Upscale model") == said)
    await user.open("/")
    await until(lambda: "by its header" in str(field(user, "Model").props.get("hint")))
    tick(user, "Second pass")
    await until(lambda: placeholder(user, "Upscale model") == said)


async def test_the_parts_of_another_family_go_with_its_model(studio: User) -> None:
    write(studio, "Model", XL)
    write(studio, "VAE", "own.safetensors")
    await until(lambda: draft(studio).more.get("vae") == "own.safetensors")
    write(studio, "Model", FLUX)
    await until(lambda: "vae" not in draft(studio).more)
    assert field(studio, "VAE").value is None


async def test_what_is_found_out_later_is_shown_without_a_reload(
    user: User, models: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.studio.workflows, "LOOK_EVERY_S", 0.05)
    models.facade.models.current = Models()
    await user.open("/")
    await until(lambda: "by its name only" in str(field(user, "Model").props.get("hint")))
    write(user, "Prompt", "half written")
    models.facade.models.current = Models.of(_FILES)
    await until(lambda: "by its header" in str(field(user, "Model").props.get("hint")))
    assert field(user, "Prompt").value == "half written"
