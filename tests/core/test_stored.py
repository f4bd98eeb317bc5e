"""Stored documents are validated when they are read; what cannot be read is kept as it is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from core.batches.request import BatchOptions, read_options
from core.problems import problem, read_problem
from core.requests import UnreadableRequest, read_request
from core.stored import Unreadable, read_stored, reason_of


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: str


class _Whole(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    parts: tuple[_Part, ...]
    share: float = 1.0


def test_nested_values_are_built() -> None:
    found = read_stored(_Whole, {"parts": [{"name": "a"}, {"name": "b"}]})

    assert found == _Whole(parts=(_Part(name="a"), _Part(name="b")))


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ({"parts": [{"name": 1}]}, "parts.0.name: must be a text"),
        ({"parts": [], "share": "1"}, "share: must be a number"),
        ({"parts": [], "colour": "a secret"}, "colour: there is no such field"),
        ({}, "parts: is missing"),
        (
            {"parts": [], "a": 1, "b": 2, "c": 3, "d": 4, "e": 5},
            (
                "a: there is no such field; b: there is no such field; "
                "c: there is no such field; and 2 more"
            ),
        ),
    ],
)
def test_the_reason_names_the_fields_and_no_value(stored: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read_stored(_Whole, stored)

    assert reason_of(caught.value) == reason


def test_what_cannot_be_read_is_written_as_it_was_stored() -> None:
    stored = {"z": 1, "a": [{"b": None}]}
    found = Unreadable(stored=stored, reason="because")

    assert found.model_dump(mode="json") == stored
    assert found.model_dump_json() == '{"z":1,"a":[{"b":null}]}'


@pytest.mark.parametrize("stored", [[], "text", {}, {"prompt": None, "model": None}])
def test_a_request_of_which_nothing_is_known(stored: Any) -> None:
    found = read_request(stored)

    assert isinstance(found, UnreadableRequest)
    assert found.stored == stored
    assert (found.prompt, found.model, found.priority) == ("", "", "interactive")


def test_options_are_read_back_the_same() -> None:
    options = BatchOptions(name="foxes", seed=7, not_after="06:30", timezone="Europe/Berlin")

    assert read_options(options.model_dump(mode="json")) == options


def test_problems_are_read_back_the_same() -> None:
    failed = problem("node_failed", "it broke", node_id="3", node_class="KSampler")

    assert read_problem(failed.model_dump(mode="json", exclude_none=True)) == failed
