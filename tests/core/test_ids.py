"""One generation has one spelling, and every attempt a prompt id that follows from it."""

from __future__ import annotations

import uuid

import pytest

from core.ids import (
    filename_prefix,
    new_generation_id,
    output_filename,
    parse_generation_id,
    prompt_id,
)

ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


def test_the_canonical_spelling_is_read() -> None:
    assert parse_generation_id(ID) == uuid.UUID(ID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "100000000000000000000",
        ID.upper(),
        ID.replace("-", ""),
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        f" {ID}",
        f"{ID}\n",
        f"{ID[:-1]}g",
        f"{ID}0",
        "../../etc/passwd",
        "%00",
        "\x00",
        "６f9619ff-8b86-4d01-b42d-00cf4fc964ff",
    ],
)
def test_no_other_spelling_is_read(text: str) -> None:
    assert parse_generation_id(text) is None


def test_generation_ids_are_fresh_and_readable() -> None:
    ids = {new_generation_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(parse_generation_id(str(generation_id)) == generation_id for generation_id in ids)


def test_a_prompt_id_is_a_canonical_lowercase_uuid() -> None:
    value = prompt_id(uuid.UUID(ID), 1)

    assert str(uuid.UUID(value)) == value
    assert value != ID


def test_a_prompt_id_follows_from_generation_and_attempt() -> None:
    generation_id, other = uuid.UUID(ID), new_generation_id()

    assert prompt_id(generation_id, 1) == prompt_id(generation_id, 1)
    assert len({prompt_id(of, n) for of in (generation_id, other) for n in range(1, 50)}) == 98


def test_a_prompt_id_is_the_same_in_every_version() -> None:
    """Pinned: after an update Easel must find the prompts that it submitted before."""
    assert prompt_id(uuid.UUID(ID), 1) == "f617b0f5-1eee-5c8d-bda7-84c609094b5a"


def test_file_names_carry_the_prompt_id() -> None:
    assert filename_prefix("abc") == "easel/abc"
    assert output_filename("abc", 1) == "abc_00001_.png"
    assert output_filename("abc", 12) == "abc_00012_.png"
