"""Texts of other programs become texts that can be kept, sent and shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import encodable_json, is_readable, readable, readable_json

ANYTHING = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\udce9.safetensors", "caf�.safetensors"),
        ("a\x00b\x1b[31mc\x7f\x85", "a�b�[31mc��"),
        ("invoice\u202efdp.exe", "invoice�fdp.exe"),
        ("two\nlines\tand\r\nthree", "two\nlines\tand\nthree"),
        ("שלום, 👩‍🔬 und größer 写真", "שלום, 👩‍🔬 und größer 写真"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert readable(text) == shown
    assert is_readable(shown)


@given(ANYTHING)
def test_a_readable_text_can_be_encoded_and_is_left_alone(text: str) -> None:
    once = readable(text)
    once.encode()
    assert "\x00" not in once
    assert readable(once) == once


def test_long_texts_are_cut() -> None:
    assert readable("x" * 5_000_000, 10) == "x" * 9 + "…"


def test_all_texts_of_a_value() -> None:
    found = readable_json({"a\udcff": ["\x00", 1, None, {"b": "\udcff"}], "c": 2.5})
    assert found == {"a�": ["�", 1, None, {"b": "�"}], "c": 2.5}


@given(st.recursive(ANYTHING | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_stored_json_is_read_without_lone_surrogates(value: object) -> None:
    found = json.dumps(json.loads(encodable_json(json.dumps(value))), ensure_ascii=False)
    found.encode()


@pytest.mark.parametrize("text", ["a fox 🦊", "\\ud83e", "\\\\udcff", "C:\\udisk", "\x00", "Ω"])
def test_stored_json_that_can_be_written_is_left_alone(text: str) -> None:
    stored = json.dumps(text)
    assert json.loads(encodable_json(stored)) == text
