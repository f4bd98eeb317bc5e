"""A request is what it says, to the letter: nothing is coerced, nothing unknown is let through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from comfy import BUILT_IN, TXT2IMG
from core.fields import METADATA_TEXT_MAX, PROMPT_MAX, SEED_MAX, draw_seed, later_seed
from core.requests import (
    ENVELOPE,
    EXAMPLES,
    METADATA_KEYS_MAX,
    GenerationRequest,
    gathered,
    read_request_of,
)
from core.workflows.limits import BATCH_SIZE_MAX, PIXELS_MAX, check_pixels


def parsed(**fields: Any) -> GenerationRequest:
    """As the API reads it: out of JSON, for the built-in workflow."""
    body = json.loads(json.dumps({"prompt": "a red fox", **fields}))
    return read_request_of(GenerationRequest, body, TXT2IMG)


def refused_at(**fields: Any) -> set[str]:
    """The top-level fields that are refused, wherever they stand."""
    body = {"prompt": "a red fox", **fields}
    known = BUILT_IN.get(str(body.get("workflow", "txt2img")))
    with pytest.raises(ValidationError) as flat:
        read_request_of(GenerationRequest, body, known)
    with pytest.raises(ValidationError) as apart:
        read_request_of(GenerationRequest, gathered(body), known)
    places = [
        {str(error["loc"][0]) if error["loc"] else "" for error in refusal.value.errors()}
        for refusal in (flat, apart)
    ]
    assert places[0] == places[1]
    return places[0]


def test_only_the_prompt_is_required() -> None:
    request = parsed()

    assert request.inputs.get("prompt") == "a red fox"
    assert (request.workflow, request.priority) == ("txt2img", "interactive")
    assert request.inputs.keys() == {"prompt"}
    assert request.timeout_s == 600
    assert request.inputs.get("seed") is None
    assert request.metadata == {}


def test_the_documented_examples_are_valid() -> None:
    for example in EXAMPLES:
        read_request_of(GenerationRequest, example, TXT2IMG)


INTEGERS = ("width", "height", "steps", "seed", "batch_size", "timeout_s")


@pytest.mark.parametrize("field", INTEGERS)
@pytest.mark.parametrize("value", ["64", True, False, 64.0, 64.5, [64], {"value": 64}])
def test_an_integer_is_written_as_an_integer(field: str, value: object) -> None:
    assert refused_at(**{field: value}) == {field}


@pytest.mark.parametrize("value", ["6.5", True, [6.5]])
def test_cfg_is_written_as_a_number(value: object) -> None:
    assert refused_at(cfg=value) == {"cfg"}


def test_cfg_may_be_a_whole_number() -> None:
    assert parsed(cfg=7).inputs.get("cfg") == 7.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_cfg_is_a_finite_number(value: float) -> None:
    assert refused_at(cfg=value) == {"cfg"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 0),
        ("width", -64),
        ("width", 56),
        ("width", 513),
        ("width", 4104),
        ("height", 10**9),
        ("steps", 0),
        ("steps", 151),
        ("cfg", -0.1),
        ("cfg", 30.1),
        ("cfg", 1000),
        ("seed", -2),
        ("seed", SEED_MAX + 1),
        ("seed", 2**63),
        ("seed", 2**64),
        ("batch_size", 0),
        ("batch_size", BATCH_SIZE_MAX + 1),
        ("timeout_s", 0),
        ("timeout_s", 86_401),
        ("priority", "urgent"),
        ("workflow", "img3img"),
        ("model", ""),
        ("model", "m" * 256),
        ("sampler", ""),
        ("scheduler", 3),
        ("callback_url", "ftp://shop.example/"),
        ("callback", "my shop"),
        ("prompt", None),
        ("prompt", 42),
        ("negative_prompt", None),
        ("metadata", None),
        ("metadata", []),
    ],
)
def test_what_is_out_of_range_is_refused(field: str, value: object) -> None:
    assert refused_at(**{field: value}) == {field}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 64),
        ("width", 4096),
        ("height", 1032),
        ("steps", 1),
        ("steps", 150),
        ("cfg", 0.0),
        ("cfg", 30.0),
        ("seed", 0),
        ("seed", SEED_MAX),
        ("batch_size", BATCH_SIZE_MAX),
        ("timeout_s", 86_400),
        ("priority", "bulk"),
        ("callback_url", None),
        ("callback_url", "http://127.0.0.1/"),
        ("callback", "s" * 64),
        ("prompt", "p" * PROMPT_MAX),
        ("negative_prompt", ""),
    ],
)
def test_the_bounds_themselves_are_fine(field: str, value: object) -> None:
    request = parsed(**{field: value})
    found = getattr(request, field) if field in ENVELOPE else request.inputs[field]
    assert found == value


@pytest.mark.parametrize(
    "prompt", [" \n\t", "\u200b", "\u200b \u2060\ufeff", "\u3164\u2800", "\u202e\x07"]
)
def test_a_prompt_without_anything_to_see_is_blank(prompt: str) -> None:
    assert refused_at(prompt=prompt) == {"prompt"}


@pytest.mark.parametrize("prompt", ["\u200ba", "👩\u200d🚀", "یک\u200cروباه", "."])
def test_a_prompt_with_something_to_see_is_kept_as_it_is(prompt: str) -> None:
    assert parsed(prompt=prompt).inputs.get("prompt") == prompt


def test_a_seed_of_minus_one_is_drawn() -> None:
    assert parsed(seed=-1).inputs.get("seed") is None


@pytest.mark.parametrize("seed", [-2, SEED_MAX + 1, -(10**30)])
def test_a_seed_out_of_range_is_told_the_range(seed: int) -> None:
    with pytest.raises(ValidationError) as refusal:
        parsed(seed=seed)
    [found] = refusal.value.errors()
    assert found["msg"] == "must be 0 … 9007199254740991; −1 or none draws one"


def test_behind_the_largest_seed_comes_the_smallest() -> None:
    assert [later_seed(SEED_MAX - 1, number) for number in range(3)] == [SEED_MAX - 1, SEED_MAX, 0]


@pytest.mark.parametrize("field", ["promt", "number", "prompt_id", "Prompt", "__class__"])
def test_unknown_fields_are_refused(field: str) -> None:
    assert refused_at(**{field: 1}) == {field}


@pytest.mark.parametrize("prompt", ["", " ", "\n\t ", "\u00a0\u2003", "p" * (PROMPT_MAX + 1)])
def test_a_prompt_says_something_and_not_too_much(prompt: str) -> None:
    assert refused_at(prompt=prompt) == {"prompt"}


@pytest.mark.parametrize("field", ["prompt", "negative_prompt", "model", "sampler", "scheduler"])
@pytest.mark.parametrize("character", ["\x00", "\ud800"])
def test_text_holds_no_nul_and_no_lone_surrogate(field: str, character: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        read_request_of(GenerationRequest, {"prompt": "fox", field: f"a{character}b"}, TXT2IMG)

    assert {error["loc"] for error in refusal.value.errors()} == {(field,)}


@pytest.mark.parametrize(
    "prompt",
    [
        "'; DROP TABLE generations; --",
        "<script>alert(1)</script> {{7*7}}",
        "\u202eright to left\u2066",
        "z\u0351\u0352a\u0353lgo",
        "👩\u200d🎨 a painter",
        "line one\r\nline two \x1b[31mred",
        "50% _off_ \\ ' \"",
    ],
)
def test_strange_but_lawful_text_is_kept_as_it_is(prompt: str) -> None:
    assert parsed(prompt=prompt).inputs.get("prompt") == prompt


def test_a_generation_has_a_pixel_budget() -> None:
    assert parsed(width=4096, height=4096, batch_size=2).inputs.get("batch_size") == 2
    assert refused_at(width=4096, height=4096, batch_size=3) == {""}

    check_pixels(4096, 4096, 2)
    with pytest.raises(ValueError, match=str(PIXELS_MAX)):
        check_pixels(4096, 4104, 2)


def test_metadata_is_given_back_as_it_is() -> None:
    labels = {"text": "x", "yes": True, "count": 1, "share": 0.5, "none": None}

    kept = parsed(metadata=labels).metadata

    assert kept == labels
    assert {key: type(value) for key, value in kept.items()} == {
        key: type(value) for key, value in labels.items()
    }


@pytest.mark.parametrize(
    "metadata",
    [
        {str(number): 1 for number in range(METADATA_KEYS_MAX + 1)},
        {"": 1},
        {"k" * 101: 1},
        {"key": "v" * (METADATA_TEXT_MAX + 1)},
        {"key": {"nested": 1}},
        {"key": [1]},
        {"key": float("nan")},
        {"key": float("inf")},
        {"key": "nul \x00"},
        {"nul \x00": 1},
    ],
    ids=[
        "too many",
        "empty key",
        "long key",
        "long text",
        "nested",
        "list",
        "nan",
        "infinite",
        "nul in text",
        "nul in key",
    ],
)
def test_metadata_is_small_and_flat(metadata: dict[str, object]) -> None:
    assert refused_at(metadata=metadata) == {"metadata"}


def test_metadata_may_fill_its_limits() -> None:
    metadata = {f"{number:0100}": "v" * METADATA_TEXT_MAX for number in range(METADATA_KEYS_MAX)}

    assert parsed(metadata=metadata).metadata == metadata


def test_a_request_never_changes() -> None:
    request = parsed()

    with pytest.raises(ValidationError):
        setattr(request, "workflow", "another")  # noqa: B010 - mypy knows it too


def test_seeds_are_drawn_from_the_whole_range() -> None:
    seeds = {draw_seed() for _ in range(200)}

    assert len(seeds) == 200
    assert all(0 <= seed <= SEED_MAX for seed in seeds)
    assert max(seeds) > SEED_MAX // 2 > min(seeds)
