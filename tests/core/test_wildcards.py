"""Templates: what is written is what may come out, with the chances that were asked for."""

from __future__ import annotations

import random
import re
import tracemalloc
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.batches.wildcards import (
    DRAWS_MAX,
    LISTS_DEEP_MAX,
    NESTING_MAX,
    TEMPLATE_MAX,
    UnreadableListError,
    WildcardError,
    parse,
    read_lists,
)

LISTS = {
    "animal": ("fox", "owl"),
    "sub/colour-1": ("red",),
    "nested": ("a {big|small} __animal__",),
    "empty": (),
    "circle": ("round __circle__",),
    "broken": ("a {fox",),
    "lost": ("__nowhere__",),
    "Füchse": ("Füchslein",),
}


def texts(template: str, times: int = 200, lists: Mapping[str, Sequence[str]] = LISTS) -> set[str]:
    """Whatever comes out, seen often enough."""
    read = parse(template)
    return {read.expand(random.Random(seed), lists) for seed in range(times)}


def refused(template: str) -> WildcardError:
    with pytest.raises(WildcardError) as refusal:
        texts(template, times=1)
    return refusal.value


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{red|blue} fox", {"red fox", "blue fox"}),
        ("a {|very }big fox", {"a big fox", "a very big fox"}),
        ("{a|b}{c|d}", {"ac", "ad", "bc", "bd"}),
        ("{a|{b|c{d|}}}", {"a", "b", "cd", "c"}),
        ("{}", {""}),
        ("{|}", {""}),
        ("{a}", {"a"}),
        ("a|b", {"a|b"}),
        ("{ a | b }", {" a ", " b "}),
        ("{a::b|c}", {"a::b", "c"}),
        ("{2::a|.5::b|1.5::c}", {"a", "b", "c"}),
        ("{ 3::a}", {"a"}),
        ("{1::3::a}", {"3::a"}),
        ("3::a", {"3::a"}),
        ("{2$$a}", {"2$$a"}),
        ("a __animal__", {"a fox", "a owl"}),
        ("__sub/colour-1__", {"red"}),
        ("__Füchse__", {"Füchslein"}),
        ("{__animal__|hen}", {"fox", "owl", "hen"}),
        ("__nested__", {"a big fox", "a small fox", "a big owl", "a small owl"}),
        ("___sub/colour-1___", {"_red_"}),
        ("__sub/colour-1__sub/colour-1__", {"redsub/colour-1__"}),
    ],
)
def test_a_template_says_these_texts(template: str, expected: set[str]) -> None:
    assert texts(template) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a red fox",
        "",
        "(fox:1.2), [owl], score_9, score_8_up",
        r"painter \(artist\), c:\fox",
        "lone __ and __animal and animal__ and ____",
        "__two words__ __-__ __/etc/passwd__ __a//b__ __../a__",
        "_animal_",
        "50% <lora:fox:0.8> $1 \\",
        "🦊" * 100,
    ],
)
def test_a_plain_prompt_is_itself(text: str) -> None:
    assert texts(text, times=1) == {text}
    assert parse(text).names == frozenset()


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (r"\{a\|b\}", "{a|b}"),
        (r"{a\|b}", "a|b"),
        (r"\__animal__", "__animal__"),
        (r"\_\_animal\_\_", "__animal__"),
        (r"a\\b", r"a\b"),
        (r"\\{a}", r"\a"),
        (r"\\\{", r"\{"),
        (r"\(", r"\("),
    ],
)
def test_a_backslash_makes_a_character_literal(template: str, text: str) -> None:
    assert texts(template, times=1) == {text}


@given(st.text() | st.text(r"{}|_\a3:"))
def test_any_text_can_be_escaped(text: str) -> None:
    template = re.sub(r"[{}|_\\]", r"\\\g<0>", text)

    assert parse(template).expand(random.Random(1), {}) == text
    assert parse(f"{{1::{template}|1::{template}}}").expand(random.Random(1), {}) == text


@given(st.text(r"{}|_\a3:", max_size=30), st.integers(0, 100))
def test_any_text_is_a_template_or_refused_at_a_character(text: str, seed: int) -> None:
    try:
        reached = len(parse(text).expand(random.Random(seed), {}))
    except WildcardError as refusal:
        reached = refusal.position + 1
    assert 0 <= reached <= len(text)


ALTERNATIVES = st.lists(st.text("abc ", max_size=5), min_size=1, max_size=5)


@given(ALTERNATIVES, st.integers())
def test_one_of_the_alternatives_comes_out(alternatives: list[str], seed: int) -> None:
    template = parse(f"{{{'|'.join(alternatives)}}}")

    assert template.expand(random.Random(seed), {}) in alternatives


def test_weights_are_shares() -> None:
    template = parse("{3::red|blue|0.001::never}")
    chance = random.Random(0)
    found = Counter(template.expand(chance, {}) for _ in range(4000))

    assert 2850 < found["red"] < 3150
    assert found["never"] < 10


def test_a_list_gives_each_of_its_lines_alike() -> None:
    lines = [str(number) for number in range(10)]
    chance = random.Random(0)
    found = Counter(parse("__digit__").expand(chance, {"digit": lines}) for _ in range(10_000))

    assert set(found) == set(lines)
    assert all(850 < times < 1150 for times in found.values())


def test_chance_gives_the_same_texts_for_ever() -> None:
    """These were drawn with Python 3.11: a batch that goes on elsewhere must not change."""
    template = parse("{red|3::blue|{a|b}} __animal__, {1|2|3|4|5|6|7}")
    chance = random.Random("42:0")

    assert [template.expand(chance, LISTS) for _ in range(4)] == [
        "red fox, 6",
        "blue owl, 4",
        "blue owl, 4",
        "red fox, 2",
    ]


@pytest.mark.parametrize(
    ("template", "position"),
    [
        ("a {red|blue fox", 2),
        ("{a|{b}", 0),
        ("a red} fox", 5),
        ("{a}}", 3),
        ("{a|0::b}", 3),
        ("{-1::a}", 1),
        (f"{{{'9' * 400}::a}}", 1),
        (f"{{0.{'0' * 400}1::a}}", 1),
        ("{" * (NESTING_MAX + 1) + "}" * (NESTING_MAX + 1), NESTING_MAX),
        ("{" * 40_000, NESTING_MAX),
        ("{" + "x" * TEMPLATE_MAX, TEMPLATE_MAX),
        ("a __nowhere__", 2),
        ("{fox|__nowhere__}", 5),
        ("a __empty__", 2),
        ("a __circle__", 2),
        ("a {__broken__}", 3),
        ("a __lost__", 2),
    ],
)
def test_a_mistake_is_placed(template: str, position: int) -> None:
    assert refused(template).position == position


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a {", "a { is never closed (at character 3)"),
        ("__nowhere__", "there is no list nowhere (at character 1)"),
        ("__empty__", "there is nothing in the list empty (at character 1)"),
        (
            "__broken__",
            "a line of the list broken: a { is never closed (at character 1)",
        ),
    ],
)
def test_a_mistake_is_explained(template: str, message: str) -> None:
    assert str(refused(template)) == message


def test_a_missing_list_is_found_whatever_chance_says() -> None:
    for seed in range(50):
        with pytest.raises(WildcardError):
            parse("{1000000::fox|__nowhere__}").expand(random.Random(seed), LISTS)


def test_a_template_names_its_lists() -> None:
    assert parse("__a__ {b|{__c/d__}} __a__ \\__e__").names == {"a", "c/d"}


def test_lists_may_lead_to_lists_but_not_for_ever() -> None:
    chain = {f"l{depth}": (f"__l{depth + 1}__",) for depth in range(LISTS_DEEP_MAX)}

    lists = {**chain, f"l{LISTS_DEEP_MAX}": ("fox",)}
    assert texts("__l1__", times=1, lists=lists) == {"fox"}
    with pytest.raises(WildcardError, match="circle"):
        texts("__l0__", times=1, lists=lists)


def test_lists_that_multiply_are_stopped() -> None:
    lists = {f"l{depth}": (f"__l{depth + 1}__ " * 10,) for depth in range(9)}

    with pytest.raises(WildcardError, match=str(DRAWS_MAX)):
        texts("__l0__", times=1, lists={**lists, "l9": ("fox",)})


def test_deep_templates_in_deep_lists_are_no_recursion() -> None:
    deep = "{" * NESTING_MAX + "__next__" + "}" * NESTING_MAX
    lists = {f"l{depth}": (deep.replace("next", f"l{depth + 1}"),) for depth in range(9)}

    assert texts("__l0__", times=1, lists={**lists, "l9": ("fox",)}) == {"fox"}


def test_lists_are_read_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "animal.txt").write_bytes("# animals\n\n fox \r\nEule 🦉\n#hen\n".encode())
    (tmp_path / "sub" / "colour-1.txt").write_bytes(b"\xef\xbb\xbfred\nblue # not a comment")
    (tmp_path / "empty.txt").write_bytes(b"\n")
    (tmp_path / "two words.txt").write_bytes(b"skipped")
    (tmp_path / "._animal.txt").write_bytes(b"\xff")
    (tmp_path / "readme.md").write_bytes(b"skipped")

    assert read_lists(tmp_path) == {
        "animal": ("fox", "Eule 🦉"),
        "sub/colour-1": ("red", "blue # not a comment"),
        "empty": (),
    }


def test_without_a_folder_there_are_no_lists(tmp_path: Path) -> None:
    assert read_lists(tmp_path / "nowhere") == {}


def test_a_list_that_is_no_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "animal.txt").write_bytes("Füchslein".encode("cp1252"))

    with pytest.raises(UnreadableListError, match=r"animal\.txt is not UTF-8"):
        read_lists(tmp_path)


def test_long_templates_do_not_stay_in_memory() -> None:
    tracemalloc.start()
    try:
        for number in range(40):
            parse(f"{{{number}|" + "a|" * 5_000 + "b}")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 10_000_000  # one takes about 0.7 MB
