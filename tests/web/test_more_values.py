"""What text to image takes besides, in the forms of batches and schedules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nicegui.testing import User

from api.context import Context
from core.batches.request import BatchOptions
from core.requests import ResolvedRequest
from tests.browser.house import resolved
from tests.web.visiting import PATIENT, field, press, texts, until, write
from web.forms.batch_again import draft_of
from web.forms.batch_drafts import BulkDraft, ScheduleDraft
from web.forms.manifests import Manifests

LORAS = [{"name": "ink.safetensors", "strength": 0.8}]
PICTURE = "artefact:9d0f3a52-1111-4222-8333-444455556666"


def made(**values: Any) -> ResolvedRequest:
    return resolved("a red fox", **values)


def again(*requests: ResolvedRequest) -> BulkDraft | None:
    return draft_of(BatchOptions(), requests, None)


def test_they_are_values_of_all_rows_and_lists_go_first(tmp_path: Path) -> None:
    more = {"txt2img": {"loras": LORAS, "clip_skip": 2}, "clip": {"length": 41}}
    draft = BulkDraft(prompt="a fox", negative="blurry", values=more)
    asked = draft.manifest(Manifests(tmp_path, 1000), None).request
    assert asked is not None
    assert asked.defaults == {
        "loras": LORAS,
        "clip_skip": 2,
        "prompt": "a fox",
        "negative_prompt": "blurry",
    }
    schedule = ScheduleDraft(name="foxes", prompt="a fox", model="sd.safetensors", values=more)
    assert schedule.request(None).batch.defaults == {
        "loras": LORAS,
        "clip_skip": 2,
        "prompt": "a fox",
        "model": "sd.safetensors",
    }


def test_a_batch_that_is_begun_again_has_them() -> None:
    draft = again(made(loras=LORAS, steps=9), made(loras=LORAS, steps=20))
    assert draft is not None
    assert draft.values == {"txt2img": {"loras": LORAS}}
    assert [axis.text for axis in draft.axes if axis.field == "steps"] == ["9, 20"]
    plain = again(made())
    assert plain is not None
    assert plain.values == {}


def test_what_was_found_for_each_model_is_found_again() -> None:
    draft = again(made(model="a", vae="a.vae"), made(model="b", vae="b.vae"))
    assert draft is not None
    assert (draft.models, draft.values) == (["a", "b"], {})


@pytest.mark.parametrize(
    "requests",
    [
        (made(loras=LORAS, steps=9), made(loras=[], steps=20)),
        (made(init_image=PICTURE, denoise=0.5),),
    ],
)
def test_what_the_form_cannot_say_is_no_form(requests: tuple[ResolvedRequest, ...]) -> None:
    assert again(*requests) is None


async def test_they_are_entered_in_bulk_and_told_at_their_fields(
    user: User, context: Context
) -> None:
    await user.open("/bulk")
    await user.should_see("LoRAs and more", retries=PATIENT)
    await user.should_see("Clip skip", retries=PATIENT)
    write(user, "Prompt", "a red fox")
    write(user, "Clip skip", 2)
    await press(user, "Add to LoRAs")
    await press(user, "Preview")
    await until(lambda: field(user, "LoRA").error == "Is missing.")
    await press(user, "Remove 1 of LoRAs")
    await press(user, "Preview")
    await until(lambda: "1 image" in " ".join(texts(user, "plan-head")))
    assert field(user, "Clip skip").value == 2
    await press(user, "Start")

    async def begun() -> ResolvedRequest:
        [batch] = (await context.batches.page(10, None)).items
        [item] = (await context.batches.items(batch.batch_id, 10, None)).items
        assert isinstance(item.request, ResolvedRequest)
        return item.request

    await user.should_see("a red fox", retries=PATIENT)
    await until(lambda: bool(texts(user, "batch-h1")) or bool(texts(user, "batch-name")))
    assert (await begun()).inputs["clip_skip"] == 2
