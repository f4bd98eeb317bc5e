"""Every error that a request can have is told in our words, with what to do."""

from __future__ import annotations

import re
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core.core_schema import ErrorType

from api.batches.manifest_body import Flags
from api.generations.routes import HistoryQuery
from api.schedules.facade import ScheduleChange, ScheduleRequest
from comfy import TXT2IMG
from core.batches.columns import Columns
from core.batches.request import BatchOptions, BatchRequest, FileOptions, FlowBatchRequest
from core.fields import PROMPT_MAX
from core.invalid import WORDS, problems_of, words
from core.requests import ENVELOPE, FlowRequest, GenerationRequest, read_request_of
from core.settings import Settings

MODELS: Final[tuple[type[BaseModel], ...]] = (
    GenerationRequest,
    FlowRequest,
    BatchOptions,
    FileOptions,
    BatchRequest,
    FlowBatchRequest,
    ScheduleRequest,
    ScheduleChange,
    Flags,
    HistoryQuery,
    Settings,
)
WRONG: Final[tuple[Any, ...]] = (
    *(None, True, -5, 2.5, 10**30, float("nan"), float("inf")),
    *("", " ", "x", "x" * 20_000, "a\x00b", "a\ud800b", "25:00", "2026-01-01"),
    *([], [1], [[]], ["x"] * 60, {}, {"x": 1}, {"steps": []}, {1: 2}, {"": "x"}, {"x": [1]}),
    {str(number): 1 for number in range(60)},
    {"x" * 101: 1},
    object(),
)
_PYDANTIC: Final = re.compile(
    r"Input should|Value should|Field required|should (?:be|have)|not permitted|validation|"
    r"Unable to|\bvalid (?:string|integer|number|dictionary)|items|ctx|function-"
)


def errors_of(model: type[BaseModel], values: dict[str, Any]) -> list[tuple[str, str]]:
    """Types and words of all that is wrong, however the values came in."""
    found = []
    for read in (model.model_validate, model.model_validate_strings):
        try:
            read(values)
        except ValidationError as error:
            found += [(kind, said) for _, kind, said in problems_of(error)]
    return found


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_nothing_that_can_be_wrong_is_told_in_pydantics_words(model: type[BaseModel]) -> None:
    said = [
        one
        for name in [*model.model_fields, "nosuch"]
        for value in WRONG
        for one in errors_of(model, {name: value})
    ]

    assert {words for _, words in said if _PYDANTIC.search(words)} == set()
    assert len({kind for kind, _ in said}) > 1


def test_the_table_has_types_of_pydantic_only() -> None:
    # The type of paths is pydantic's own, not that of its core.
    assert set(WORDS) <= {*get_args(ErrorType), "path_type"}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("prompt", "x" * 10_001, "may have 10,000 characters at most, not 10,001"),
        ("prompt", "", "must not be empty"),
        ("prompt", "\u200b", "must not be blank"),
        ("prompt", "a\x00", "must not contain NUL characters"),
        ("prompt", "\ud800", "must not contain lone surrogates"),
        ("model", "m" * 256, "may have 255 characters at most, not 256"),
        ("steps", "20", "must be a whole number"),
        ("steps", 151, "must be at most 150"),
        ("cfg", 31, "must be at most 30"),
        ("width", 7, "must be a multiple of 8"),
        ("callback_url", "x://x", "must begin with http:// or https://"),
        (
            "callback",
            "my shop",
            "must be letters, digits, dots, dashes and underscores, such as shop",
        ),
        ("metadata", [], "must be a JSON object"),
        ("metadata", {"a": [1]}, "must be a text, a number, true, false or null"),
        ("metadata", {"a": "x" * 501}, "may have 500 characters at most, not 501"),
        ("metadata", {"x" * 101: 1}, "may have 100 characters at most, not 101"),
        (
            "metadata",
            {str(number): 1 for number in range(51)},
            "may have 50 entries at most, not 51",
        ),
        ("priority", "now", "must be 'interactive' or 'bulk'"),
        ("cfg", float("nan"), "must be a number, neither infinite nor NaN"),
    ],
)
def test_a_wrong_value_is_told_what_it_must_be(field: str, value: Any, said: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        read_request_of(GenerationRequest, {"prompt": "x", field: value}, TXT2IMG)

    assert said in [why for _, _, why in problems_of(refusal.value)]


def test_a_prompt_of_the_longest_length_is_taken() -> None:
    assert len(GenerationRequest(prompt="ü" * PROMPT_MAX).inputs["prompt"]) == PROMPT_MAX


def test_an_unknown_field_is_told_the_nearest_ones() -> None:
    with pytest.raises(ValidationError) as refusal:
        read_request_of(GenerationRequest, {"prompt": "x", "stpes": 1}, TXT2IMG)
    [found] = refusal.value.errors()

    assert words(found, [*ENVELOPE, *TXT2IMG.by_name]) == (
        "there is no such field; near matches: steps, sampler (of 36 fields)"
    )


def test_an_unknown_field_of_a_grid_is_told_the_nearest_ones() -> None:
    request = BatchRequest.model_validate({"grid": {"smapler": ["euler"]}})
    with pytest.raises(ValidationError) as refusal:
        request.check_names(Columns(TXT2IMG))

    [(_, code, said)] = problems_of(refusal.value)
    assert code == "extra_forbidden"
    assert said.startswith("there is no such field in a request; near matches: sampler")
