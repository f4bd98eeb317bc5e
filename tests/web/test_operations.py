"""What goes along with an image to the form of what is done with it next."""

from __future__ import annotations

from typing import Any

import pytest

from api.workflows.documents import WorkflowDocument, workflow_document
from comfy.workflows.builtin.declarations import BUILT_IN
from core.requests import ResolvedRequest, UnreadableRequest
from core.workflows.plan import Plan
from tests.browser.house import resolved
from web.forms.operations import (
    EDIT,
    EXTEND,
    INPAINT,
    OPERATIONS,
    REFERENCE,
    START,
    UPSCALE,
    Operation,
    filled,
    possible,
)

PICTURE = "artefact:9d0f3a52-1111-4222-8333-444455556666"
OTHER = "artefact:9d0f3a52-7777-4222-8333-444455556666"
LORAS = [{"name": "ink.safetensors", "strength": 0.8}]


def document(name: str, *, built_in: bool = True) -> WorkflowDocument:
    found = workflow_document(BUILT_IN[name], f"/api/v1/workflows/{name}", None)
    return found.model_copy(update={"built_in": built_in})


def drawn(**values: Any) -> ResolvedRequest:
    """A text to image with a LoRA."""
    return resolved("a red fox", negative_prompt="blurry", loras=LORAS, **values)


def made_by(workflow: str, inputs: dict[str, Any], plan: Plan | None = None) -> ResolvedRequest:
    envelope = {"priority": "interactive", "timeout_s": 600, "metadata": {}}
    found = ResolvedRequest.model_validate({"workflow": workflow, "inputs": inputs, **envelope})
    return found if plan is None else found.model_copy(update={"plan": plan})


def taken(
    operation: Operation,
    request: ResolvedRequest | UnreadableRequest | None,
    draft: dict[str, Any] | None = None,
    *references: str,
) -> dict[str, Any]:
    known = document(operation.workflow)
    found = filled(operation, known, references or (PICTURE,), request, draft or {})
    assert found.workflow == operation.workflow
    return dict(found.values)


def test_every_operation_is_one_of_the_declared_workflows() -> None:
    known = [document(name) for name in BUILT_IN]
    assert possible(known) == list(OPERATIONS)
    imported = document("upscale", built_in=False)
    assert possible([imported]) == []


@pytest.mark.parametrize("operation", [START, INPAINT, EXTEND])
def test_what_it_was_drawn_with_goes_along_but_no_size_and_no_seed(operation: Operation) -> None:
    assert taken(operation, drawn()) == {
        "prompt": "a red fox",
        "negative_prompt": "blurry",
        "model": "dreamshaper_8.safetensors",
        "steps": 20,
        "cfg": 7.0,
        "sampler": "euler",
        "scheduler": "normal",
        "loras": LORAS,
        "init_image": PICTURE,
    }


def test_what_the_form_has_of_its_own_stays_and_what_belonged_to_another_image_goes() -> None:
    draft = {
        "prompt": "an owl",
        "loras": [{"name": "old.safetensors"}],
        "clip_skip": 2,
        "denoise": 0.4,
        "mask": OTHER,
        "mask_feather": 16,
        "init_image": OTHER,
    }
    found = taken(INPAINT, resolved("a red fox"), draft)
    assert found["prompt"] == "a red fox"
    assert (found["denoise"], found["mask_feather"]) == (0.4, 16)
    assert found["init_image"] == PICTURE
    assert found.keys().isdisjoint({"loras", "clip_skip", "mask"})


def test_an_upscale_gets_prompt_and_model_for_its_detail() -> None:
    draft = {"scale": 4.0, "model": "4x.pth", "detail": 0.3}
    assert taken(UPSCALE, drawn(), draft) == {
        "scale": 4.0,
        "model": "4x.pth",
        "detail": 0.3,
        "prompt": "a red fox",
        "detail_model": "dreamshaper_8.safetensors",
        "init_image": PICTURE,
    }


def test_from_an_upscale_its_upscale_model_is_no_model_to_draw_with() -> None:
    made = made_by(
        "upscale",
        {"init_image": OTHER, "model": "4x.pth", "scale": 2.0, "prompt": "a red fox"},
    )
    assert taken(START, made) == {"prompt": "a red fox", "init_image": PICTURE}


def test_an_edit_keeps_its_own_words_and_model() -> None:
    draft = {"prompt": "make it night", "model": "flux-kontext.gguf", "reference_images": [OTHER]}
    found = taken(EDIT, drawn(), draft)
    assert found == {**draft, "reference_images": [PICTURE]}


def test_an_edit_of_an_edit_is_done_with_its_model() -> None:
    made = made_by(
        "edit",
        {"prompt": "make it night", "model": "kontext.gguf", "reference_images": [OTHER]},
    )
    assert taken(EDIT, made) == {"model": "kontext.gguf", "reference_images": [PICTURE]}


def test_references_come_to_those_there_are_each_once() -> None:
    draft = {"reference_images": [OTHER, PICTURE]}
    assert taken(REFERENCE, None, draft)["reference_images"] == [OTHER, PICTURE]
    many = [f"artefact:{number}" for number in range(10)]
    found = taken(REFERENCE, None, {"reference_images": many})
    assert found["reference_images"] == [*many[1:], PICTURE]
    assert taken(EDIT, None, draft, OTHER, PICTURE)["reference_images"] == [OTHER, PICTURE]


def test_of_an_added_workflow_the_prompts_alone_go_along() -> None:
    made = made_by(
        "clip",
        {"words": "a red fox", "model": "video.safetensors", "steps": 4},
        Plan(roles={"prompt": "words", "model": "model"}),
    )
    draft = {"model": "mine.safetensors"}
    assert taken(START, made, draft) == {**draft, "prompt": "a red fox", "init_image": PICTURE}


def test_of_settings_that_cannot_be_read_nothing_goes_along() -> None:
    made = UnreadableRequest(stored={"prompt": "?"}, reason="steps")
    assert taken(START, made, {"denoise": 0.4}) == {"denoise": 0.4, "init_image": PICTURE}
