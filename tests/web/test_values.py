"""Every value that was used, as the page of a picture shows it."""

from __future__ import annotations

from typing import Any

from nicegui.testing import User

from api.context import Context
from comfy.workflows.builtin.declarations import BUILT_IN
from core.requests import GenerationRequest
from flows.testing import InProcessWorker
from tests.browser.house import resolved
from tests.web.visiting import PATIENT, elements
from tests.web.workflows import CLIP
from web.history.values import Line, Row, input_rows

PICTURE = "artefact:9d0f3a52-1111-4222-8333-444455556666"
UPLOAD = f"upload:{'ab' * 32}"
INPUTS = BUILT_IN["txt2img"].inputs


def rows(**values: Any) -> list[Row]:
    request = resolved("a red fox").model_copy(update={"inputs": values})
    return list(input_rows(request, INPUTS))


def test_loras_are_a_line_each() -> None:
    loras = [
        {"name": "styles/ink.safetensors", "strength": 0.8, "strength_clip": None},
        {"name": "grain.safetensors", "strength": 1.0, "strength_clip": 0.5},
    ]
    assert rows(loras=loras) == [
        Row(
            "LoRAs",
            (
                Line("ink · Strength 0.8"),
                Line("grain · Strength 1 · Of the text encoder 0.5"),
            ),
        )
    ]


def test_a_group_is_said_in_words() -> None:
    hires = {"scale": 1.5, "method": "latent", "model": None, "steps": 12, "denoise": 0.45}
    assert rows(hires=hires) == [
        Row(
            "Second pass",
            (Line("Scale 1.5 · Enlarged Before decoding (latent) · Steps 12 · Denoise 0.45"),),
        )
    ]


def test_files_are_pictures() -> None:
    control = {"image": UPLOAD, "model": "cn/canny.safetensors", "type": "canny", "strength": 1.0}
    found = rows(init_image=PICTURE, reference_images=[PICTURE, UPLOAD], controls=[control])
    assert found == [
        Row("Start image", (Line(pictures=(PICTURE,)),)),
        Row("Reference images", (Line(pictures=(PICTURE, UPLOAD)),)),
        Row("Controls", (Line("canny · Shows Edges (Canny) · Strength 1", (UPLOAD,)),)),
    ]


def test_what_says_nothing_is_left_out() -> None:
    found = rows(prompt="a red fox", vae=None, wildcards=False, mask_invert=True, loras=[])
    assert found == [Row("Invert the mask", (Line("on"),)), Row("LoRAs", (Line("none"),))]


def test_what_no_workflow_declares_any_more_is_shown_as_it_is() -> None:
    assert rows(shine={"a": [1]}) == [Row("shine", (Line('{"a": [1]}'),))]
    odd = rows(loras="not a list", hires=[1])
    assert odd == [Row("LoRAs", (Line("not a list"),)), Row("Second pass", (Line("[1]"),))]


async def test_the_page_shows_pictures_lines_and_the_workflows_title(
    user: User, context: Context
) -> None:
    facade = context.facade
    await facade.store.workflows.add(CLIP)
    fox = await facade.create(GenerationRequest(prompt="a red fox"))
    await InProcessWorker(facade.store).finish(fox.task_id)
    [kept] = await facade.outputs(fox.task_id)
    asked = {
        "words": "it runs away",
        "start": f"artefact:{kept.artefact_id}",
        "loras": [{"name": "ink", "strength": 0.8}, {"name": "grain", "strength": 1.0}],
    }
    made = await facade.create(GenerationRequest(workflow="clip", inputs=asked))
    await user.open(f"/g/{made.task_id}")
    await user.should_see("File ink · Strength 0.8", retries=PATIENT)
    await user.should_see("File grain · Strength 1")
    await user.should_see("A clip")
    shown = f"/api/v1/artefacts/{kept.artefact_id}/poster"
    assert any(one.props.get("src") == shown for one in elements(user))


def test_a_choice_is_called_as_in_the_form() -> None:
    assert rows(mask_area="masked") == [Row("Area", (Line("The masked part, in full detail"),))]
    assert rows(sampler="euler") == [Row("Sampler", (Line("euler"),))]
