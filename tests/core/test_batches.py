"""A batch is asked for to the letter too; its options come as JSON and as query parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from comfy import TXT2IMG
from core.batches.columns import Columns
from core.batches.request import (
    BATCH_ITEMS_MAX,
    COUNT_MAX,
    BatchOptions,
    BatchRequest,
    FileOptions,
    read_options,
)
from core.fields import SEED_MAX


def refused_at(**fields: Any) -> set[tuple[str | int, ...]]:
    """The places that both ways in (JSON, Python) refuse."""
    with pytest.raises(ValidationError) as from_python:
        BatchRequest.model_validate(fields)
    with pytest.raises(ValidationError) as from_json:
        BatchRequest.model_validate_json(json.dumps(fields))
    places = [
        {error["loc"] for error in refusal.value.errors()} for refusal in (from_python, from_json)
    ]
    assert places[0] == places[1]
    return places[0]


def test_everything_may_be_left_out() -> None:
    request = BatchRequest.model_validate({})

    assert (request.count, request.max_in_flight, request.wildcards) == (1, 8, True)
    assert (request.items, request.grid, request.seed) == (None, None, None)
    assert request.defaults == {}


def test_the_documented_examples_are_valid() -> None:
    for example in BatchRequest.model_json_schema()["examples"]:
        BatchRequest.model_validate_json(json.dumps(example))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "n" * 201),
        ("name", "nul \x00"),
        ("items", []),
        ("items", {}),
        ("items", [{}] * (BATCH_ITEMS_MAX + 1)),
        ("grid", {}),
        ("grid", []),
        ("combine", "sum"),
        ("count", 0),
        ("count", True),
        ("count", "3"),
        ("count", COUNT_MAX + 1),
        ("seed", -2),
        ("seed", SEED_MAX + 1),
        ("wildcards", 1),
        ("max_in_flight", 0),
        ("max_in_flight", 65),
        ("stop_after_failures", 0),
        ("stop_at_failure_share", 0),
        ("stop_at_failure_share", 1.01),
        ("stop_at_failure_share", float("nan")),
        ("not_after", "24:00"),
        ("not_after", "6:30"),
        ("not_after", "06:60"),
        ("not_after", "06:30\n"),
        ("not_after", "06:30:00"),
        ("not_after", "٠٦:٣٠"),
        ("timezone", ""),
        ("timezone", "Europe"),
        ("timezone", "Europe/Atlantis"),
        ("timezone", "../etc/passwd"),
        ("timezone", "/etc/localtime"),
        ("timezone", "z" * 300),
        ("timezone", "nul \x00"),
        ("prompt", "at the wrong place"),
    ],
)
def test_what_is_out_of_range_is_refused(field: str, value: object) -> None:
    assert {place[0] for place in refused_at(**{field: value})} == {field}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "n" * 200),
        ("count", COUNT_MAX),
        ("seed", 0),
        ("seed", SEED_MAX),
        ("max_in_flight", 64),
        ("stop_after_failures", 1),
        ("stop_at_failure_share", 1),
        ("stop_at_failure_share", 0.001),
        ("not_after", "00:00"),
        ("not_after", "23:59"),
        ("timezone", "UTC"),
        ("timezone", "America/Argentina/Buenos_Aires"),
    ],
)
def test_the_bounds_themselves_are_fine(field: str, value: object) -> None:
    assert getattr(BatchRequest.model_validate({field: value}), field) == value


@pytest.mark.parametrize("name", ["count", "promt", "metadata.", "loras.0.nam", ""])
def test_defaults_and_grid_have_fields_of_a_request(name: str) -> None:
    request = BatchRequest.model_validate({"defaults": {name: 1}, "grid": {name: [1]}})
    with pytest.raises(ValidationError) as refusal:
        request.check_names(Columns(TXT2IMG))

    found = refusal.value.errors()
    assert [error["loc"][:2] for error in found] == [("defaults", name), ("grid", name)]
    assert {error["type"] for error in found} == {"extra_forbidden"}


def test_a_label_is_no_axis_of_a_grid() -> None:
    fields = {"defaults": {"metadata.order": 1}, "grid": {"metadata.order": [1]}}
    with pytest.raises(ValidationError) as refusal:
        BatchRequest.model_validate(fields).check_names(Columns(TXT2IMG))

    assert [error["loc"] for error in refusal.value.errors()] == [("grid", "metadata.order")]


def test_a_grid_has_lists_with_something_in_them() -> None:
    assert refused_at(grid={"steps": []}) == {("grid", "steps")}
    assert refused_at(grid={"steps": 20}) == {("grid", "steps")}


def test_zipped_lists_are_equally_long() -> None:
    lists = {"steps": [10, 20], "cfg": [4.5]}

    assert refused_at(grid=lists, combine="zip") == {("grid",)}
    assert BatchRequest.model_validate({"grid": lists}).grid == lists
    equal = {"steps": [10, 20], "cfg": [4.5, 6.5]}
    assert BatchRequest.model_validate({"grid": equal, "combine": "zip"}).grid == equal


OPTIONS = BatchOptions(
    name="foxes",
    count=3,
    seed=5,
    wildcards=False,
    stop_at_failure_share=0.5,
    not_after="06:30",
    timezone="Europe/Berlin",
)


def test_options_are_stored_as_json_and_found_again() -> None:
    assert BatchOptions.model_validate_json(OPTIONS.model_dump_json()) == OPTIONS


def test_options_are_read_from_query_parameters() -> None:
    query = {
        "name": "foxes",
        "count": "3",
        "seed": "5",
        "wildcards": "false",
        "stop_at_failure_share": "0.5",
        "not_after": "06:30",
        "timezone": "Europe/Berlin",
    }

    assert BatchOptions.model_validate_strings(query) == OPTIONS
    with pytest.raises(ValidationError):
        BatchOptions.model_validate_strings({"count": "three"})
    with pytest.raises(ValidationError):
        BatchOptions.model_validate_strings({"items": "[]"})


def test_a_request_is_its_options_and_its_items() -> None:
    request = BatchRequest.model_validate({**OPTIONS.model_dump(), "items": [{"prompt": "fox"}]})

    assert request.options == OPTIONS
    assert type(request.options) is BatchOptions
    beside = FileOptions.model_validate(OPTIONS.model_dump())
    assert BatchRequest.of_file(beside).options == OPTIONS
    assert BatchRequest.of_file(beside).items is None


def test_options_of_before_drew_for_each_cell() -> None:
    stored = BatchOptions().model_dump(mode="json")
    now, before = read_options(stored), read_options({"count": 2})

    assert isinstance(now, BatchOptions)
    assert isinstance(before, BatchOptions)
    assert (now.vary_seed, before.vary_seed, before.count) == (False, True, 2)


def test_a_stored_request_means_what_it_meant() -> None:
    assert BatchRequest().as_stored_before.vary_seed
    assert not BatchRequest(vary_seed=False).as_stored_before.vary_seed
