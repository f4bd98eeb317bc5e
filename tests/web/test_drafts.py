from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.models.documents import DefaultsDocument
from comfy import TXT2IMG
from core.fields import SEED_MAX
from core.requests import ResolvedRequest
from tests.inputs import picked
from web.forms.drafts import Draft
from web.parts.wording import FIELD_RULES, field_errors

XL = DefaultsDocument(
    width=1024, height=1024, steps=25, cfg=6.5, sampler="dpmpp_2m", scheduler="karras"
)
MADE = ResolvedRequest(
    prompt="狐",
    negative_prompt="blurry",
    workflow="txt2img",
    model="xl.safetensors",
    width=832,
    height=1216,
    steps=30,
    cfg=5.0,
    sampler="euler",
    scheduler="normal",
    seed=11,
    batch_size=4,
    priority="interactive",
    timeout_s=600,
    metadata={},
)


def test_what_is_left_alone_is_left_to_the_model() -> None:
    request = Draft(prompt="a fox").request(XL, TXT2IMG)
    assert picked(request, "width", "height") == (1024, 1024)
    left = picked(request, "steps", "cfg", "sampler", "scheduler", "seed")
    assert left == (None,) * 5


def test_without_a_catalogue_even_the_size_is_left_out() -> None:
    assert Draft(prompt="a fox").request(None, TXT2IMG).inputs.get("width") is None


def test_all_settings_of_a_generation_make_the_same_request() -> None:
    draft = Draft()
    draft.use(MADE, XL)
    assert draft.ratio == "2:3"
    request = draft.request(XL, TXT2IMG)
    for name in (
        "prompt",
        "negative_prompt",
        "model",
        "width",
        "height",
        "steps",
        "cfg",
        "sampler",
        "scheduler",
        "seed",
        "batch_size",
    ):
        assert request.inputs[name] == MADE.inputs[name], name


def test_a_size_without_a_button_is_kept_as_it_is() -> None:
    draft = Draft()
    draft.use(MADE.changed(width=1000), XL)
    assert draft.ratio is None
    assert draft.size(XL) == (1000, 1216)


def test_seeds() -> None:
    draft = Draft(prompt="x", seed_mode="next", seed=5)
    draft.after(5)
    assert draft.request(None, TXT2IMG).inputs.get("seed") == 6
    draft.after(SEED_MAX)
    assert draft.request(None, TXT2IMG).inputs.get("seed") == 0
    draft.seed_mode, draft.seed = "keep", -1
    draft.after(7)
    assert (draft.seed, draft.request(None, TXT2IMG).inputs.get("seed")) == (-1, None)
    draft.seed_mode = "random"
    assert draft.request(None, TXT2IMG).inputs.get("seed") is None
    assert (
        Draft(prompt="x", seed_mode="keep", seed=-1).request(None, TXT2IMG).inputs.get("seed")
        is None
    )


@pytest.mark.parametrize(
    ("name", "typed"),
    [("steps", 900), ("steps", 20.5), ("cfg", 31), ("seed", -2), ("width", 500), ("height", 0)],
)
def test_what_cannot_be_is_refused_in_our_words_and_kept_as_typed(name: str, typed: float) -> None:
    draft = Draft(prompt="a fox", ratio=None, seed_mode="keep")
    setattr(draft, name, typed)
    with pytest.raises(ValidationError) as caught:
        draft.request(XL, TXT2IMG)
    assert field_errors(caught.value) == {name: FIELD_RULES[name]}
    assert getattr(Draft.model_validate(draft.model_dump()), name) == typed


def test_every_mistake_is_told_at_its_field() -> None:
    draft = Draft(prompt=" ", cfg=99, seed=-5, seed_mode="keep")
    with pytest.raises(ValidationError) as caught:
        draft.request(XL, TXT2IMG)
    errors = field_errors(caught.value)
    assert errors.keys() == {"prompt", "cfg", "seed"}
    assert not any("Input should" in text for text in errors.values())


def test_a_blank_prompt_is_refused_by_the_schema() -> None:
    with pytest.raises(ValidationError):
        Draft().request(None, TXT2IMG)
