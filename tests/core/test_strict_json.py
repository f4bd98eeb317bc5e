"""One parser for all JSON from outside; tests/api/test_bad_input.py has the long list."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.json import (
    DEPTH_MAX,
    MEMBERS_MAX,
    VALUES_MAX,
    MalformedJsonError,
    UnusableJsonError,
    parse,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**90), 10**90)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(JSON)
def test_well_formed_json_is_read_as_it_is(value: object) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{} {}",
        b'{"a": 1, "a": 1}',
        b'"\xc3\x28"',
        b'\xef\xbb\xbf"bom"',
        '"utf-16"'.encode("utf-16"),
        '"utf-16"'.encode("utf-16-le"),
        b'"\x00"',
        b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1),
        b"1" * 4301,
    ],
)
def test_what_is_not_well_formed_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedJsonError):
        parse(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"NaN", "finite_number"),
        (b"[Infinity]", "finite_number"),
        (b"-Infinity", "finite_number"),
        (b"1e400", "finite_number"),
        (b"1" * 101, "number_too_long"),
        (b"[" + b"{}," * VALUES_MAX + b"{}]", "too_many_values"),
        (b"[" + b"1," * VALUES_MAX + b"1]", "too_many_values"),
        (json.dumps(dict.fromkeys(map(str, range(MEMBERS_MAX + 1)))).encode(), "too_many_members"),
    ],
)
def test_numbers_that_nothing_can_hold_are_refused(data: bytes, code: str) -> None:
    with pytest.raises(UnusableJsonError) as refusal:
        parse(data)

    assert refusal.value.code == code


def test_the_bounds_themselves_are_fine() -> None:
    assert parse(b"1" * 100) == int("1" * 100)
    assert parse(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX) is not None
    assert parse(b'"' + b"[" * 100 + b'"') == "[" * 100
    assert len(parse(json.dumps(dict.fromkeys(map(str, range(MEMBERS_MAX)))).encode())) == (
        MEMBERS_MAX
    )
    text = ', "[{\\' * VALUES_MAX
    assert parse(json.dumps([text, {"a": text}]).encode()) == [text, {"a": text}]


def test_a_mistake_is_placed() -> None:
    with pytest.raises(MalformedJsonError) as refusal:
        parse(b'{\n"a": x}')

    assert (refusal.value.line, refusal.value.column) == (2, 6)
    assert str(refusal.value) == "Expecting value at line 2, column 6"


def test_messages_say_what_was_read() -> None:
    with pytest.raises(MalformedJsonError, match="the line is not UTF-8"):
        parse(b"\xff\xfd", "the line")
