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

from core.batches.drawing import draw
from core.batches.lists import DRAWS_MAX, LISTS_DEEP_MAX, PICKS_MAX, Lists, read_lists
from core.batches.wildcards import (
    NESTING_MAX,
    TEMPLATE_MAX,
    WildcardError,
    first_wildcard,
    parse,
)

LINES: Mapping[str, Sequence[str]] = {
    "animal": ("fox", "owl"),
    "sub/colour-1": ("red",),
    "nested": ("a {big|small} __animal__",),
    "empty": (),
    "circle": ("round __circle__",),
    "broken": ("a {fox",),
    "lost": ("__nowhere__",),
    "Füchse": ("Füchslein",),
    "hats": ("20::hat", "cap"),
    "female astronaut": ("Valentina",),
    "v1.5": ("old",),
    "Я": ("лис",),
    "it's, (a) list": ("yes",),
}
LISTS = Lists.of(LINES)
NONE = Lists.of({})


def texts(
    template: str, times: int = 200, lists: Lists | Mapping[str, Sequence[str]] = LISTS
) -> set[str]:
    """Whatever comes out, seen often enough."""
    read, known = parse(template), lists if isinstance(lists, Lists) else Lists.of(lists)
    return {draw(read, random.Random(seed), known) for seed in range(times)}


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
        ("{2$$a}", {"a"}),
        ("{1::2$$a}", {"2$$a"}),
        ("{$$a|b}", {"$$a", "b"}),
        ("{2$$a|b|c}", {"a, b", "a, c", "b, a", "b, c", "c, a", "c, b"}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("{1-2$$ and $$a|b}", {"a", "b", "a and b", "b and a"}),
        ("{-2$$a|b}", {"a", "b", "a, b", "b, a"}),
        ("{2-$$a|b}", {"a, b", "b, a"}),
        ("{0-1$$a|b}", {"", "a", "b"}),
        ("{4$$a|b}", {"a, b", "b, a"}),
        ("{2$$1000::a|1000::b|0.0001::c}", {"a, b", "b, a"}),
        ("{2$$$$a|b}", {"ab", "ba"}),
        ("{2$$__animal__}", {"fox, owl", "owl, fox"}),
        ("{1-$$__hats__}", {"hat", "cap", "hat, cap", "cap, hat"}),
        ("{2$${a|b}|c}", {"a, c", "b, c", "c, a", "c, b"}),
        ("${c=red} ${c} and ${c}", {"red and red"}),
        ("a ${c=!{x|y}} ${c}${c}", {"a xx", "a yy"}),
        ("${c={x|y}} ${c}${c}", {"xx", "xy", "yx", "yy"}),
        ("${ c = red|blue }${ c }", {"red|blue "}),
        ("${c=x}{${c=y}${c}|${c}}${c}", {"yx", "xx"}),
        ("${c=x}${d=${c}}${c=y}${d}${c}", {"xy"}),
        ("${c:{x|y}} ${c:z}", {"x z", "y z"}),
        ("${c=!x ${d=!{a|b}}${d}}${c}", {"x a", "x b"}),
        ("${c=1}${c:2}", {"1"}),
        ("${5|6} $ {x} $x", {"$5 $ x $x", "$6 $ x $x"}),
        ("{~a|b}", {"a", "b"}),
        ("{!|?}{@}{~}", {"!@~", "?@~"}),
        ("__~animal__", {"fox", "owl"}),
        ("50%{a|b}", {"50%a", "50%b"}),
        ("__female astronaut__ __v1.5__", {"Valentina old"}),
        ("__Я__ __it's, (a) list__", {"лис yes"}),
        ("__Fu\u0308chse__", {"Füchslein"}),
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
        "lone __ and __animal and animal",
        "animal__ and __ animal__ and snake_case_name",
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

    assert draw(parse(template), random.Random(1), NONE) == text
    assert draw(parse(f"{{1::{template}|1::{template}}}"), random.Random(1), NONE) == text


@given(st.text(r"{}|_\a3:$=!~@%-", max_size=30), st.integers(0, 100))
def test_any_text_is_a_template_or_refused_at_a_character(text: str, seed: int) -> None:
    position = 0
    try:
        draw(parse(text), random.Random(seed), NONE)
    except WildcardError as refusal:
        position = refusal.position
    assert 0 <= position <= max(0, len(text) - 1)


ALTERNATIVES = st.lists(st.text("abc ", max_size=5), min_size=1, max_size=5)


@given(ALTERNATIVES, st.integers())
def test_one_of_the_alternatives_comes_out(alternatives: list[str], seed: int) -> None:
    template = parse(f"{{{'|'.join(alternatives)}}}")

    assert draw(template, random.Random(seed), NONE) in alternatives


def test_weights_are_shares() -> None:
    template = parse("{3::red|blue|0.001::never}")
    chance = random.Random(0)
    found = Counter(draw(template, chance, NONE) for _ in range(4000))

    assert 2850 < found["red"] < 3150
    assert found["never"] < 10


def test_a_list_gives_each_of_its_lines_alike() -> None:
    lines = [str(number) for number in range(10)]
    chance = random.Random(0)
    lists = Lists.of({"digit": lines})
    found = Counter(draw(parse("__digit__"), chance, lists) for _ in range(10_000))

    assert set(found) == set(lines)
    assert all(850 < times < 1150 for times in found.values())


def test_chance_gives_the_same_texts_for_ever() -> None:
    """These were drawn with Python 3.11: a batch that goes on elsewhere must not change."""
    template = parse("{red|3::blue|{a|b}} __animal__, {1|2|3|4|5|6|7}")
    chance = random.Random("42:0")

    assert [draw(template, chance, LISTS) for _ in range(4)] == [
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
        ("a __two words__", 2),
        ("a __/etc/passwd__", 2),
        ("a {2-1$$b|c}", 3),
        ("a ${c} ${c=b}", 2),
        ("{${c=b}|d} ${c}", 11),
        ("a {@b|c}", 3),
        ("a {101$$" + "b|" * 101 + "}", 2),
        ("a __animal(size=big)__", 2),
        ("{2$$a|__nowhere__}", 6),
    ],
)
def test_a_mistake_is_placed(template: str, position: int) -> None:
    assert refused(template).position == position


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a {", "a { is never closed (at character 3)"),
        (
            "__animals__",
            (
                r"there is no list animals; near matches: animal (of 13 lists); "
                r"for the underscores write \_\_"
            ),
        ),
        (
            "__v1 5__",
            (
                r"there is no list v1 5; near matches: v1.5 (of 13 lists); "
                r"for the underscores write \_\_"
            ),
        ),
        (
            "__Animal__",
            (
                "there is no list Animal; there is animal, which differs in upper and lower case"
                r"; for the underscores write \_\_"
            ),
        ),
        ("__empty__", "there is nothing in the list empty"),
        ("__broken__", "the list broken, line 1: a { is never closed (at character 3)"),
        ("__circle__", "the list circle leads to itself"),
        (
            "{@a|b}",
            "cycling through the values (@) is not supported; write it out (at character 2)",
        ),
        ("__!a__", "every combination (!) is not supported; write it out (at character 1)"),
        ("%{a$$b}", "a wrapper (%{…$$…}) is not supported; write it out (at character 1)"),
        ("__an*__", "a pattern in a list's name is not supported: an*; name one list"),
        ("__animal(a=b)__", "a list with parameters is not supported: animal(a=b)"),
        ("__${c}__", "a list's name that is drawn is not supported; write it out (at character 1)"),
        ("${c}", "there is no variable c here; set it before, as in ${c=red} (at character 1)"),
        (
            "__../a__",
            (
                "../a cannot be a list: name a file of the wildcards folder, with its folder if it "
                "has one, such as styles/dark"
            ),
        ),
    ],
)
def test_a_mistake_is_explained(template: str, message: str) -> None:
    assert str(refused(template)) == message


def test_a_missing_list_is_found_whatever_chance_says() -> None:
    for seed in range(50):
        with pytest.raises(WildcardError):
            draw(parse("{1000000::fox|__nowhere__}"), random.Random(seed), LISTS)


def test_a_bad_line_is_found_whatever_chance_says() -> None:
    lists = Lists.of({"mostly": [*"abcdefghi", "{oops"], "above": ["__mostly__"]})
    for seed in range(30):
        for name in ("mostly", "above", "mostly"):
            with pytest.raises(WildcardError) as refusal:
                draw(parse(f"x __{name}__"), random.Random(seed), lists)
            reason = "the list mostly, line 10: a { is never closed (at character 1)"
            assert str(refusal.value) == reason
            assert refusal.value.position in (0, 2)


@pytest.mark.parametrize("line", ["-1::hat", "a\x00b", "x" * 10_001, "${c}", "__nowhere__"])
def test_a_line_that_could_not_be_made_is_found(line: str) -> None:
    with pytest.raises(WildcardError, match=r"^the list some, line 1: "):
        texts("${c=red}__some__", times=1, lists={"some": [line, *["good"] * 1000]})


def test_weights_of_a_list_are_shares() -> None:
    chance = random.Random(0)
    found = Counter(draw(parse("__hats__"), chance, LISTS) for _ in range(4200))

    assert 3900 < found["hat"] < 4100
    assert found["hat"] + found["cap"] == 4200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {red|blue} fox", "{red|blue}"),
        ("a __animal__ {", "__animal__"),
        ("${c=red}", "${c=red}"),
        ("__female astronaut__", "__female astronaut__"),
        ("an open {brace", "{brace"),
        ("(fox:1.5), [a|b], <lora:x:0.8>, a_b", None),
        (r"\{a\|b\} \__animal__", None),
        ("lone __ and } and |", None),
    ],
)
def test_the_first_wildcard_of_a_text_is_found(text: str, expected: str | None) -> None:
    assert first_wildcard(text) == expected


def test_a_template_names_its_lists() -> None:
    assert parse("__a__ {b|{__c/d__}} __a__ \\__e__").names == {"a", "c/d"}


def test_lists_may_lead_to_lists_but_not_for_ever() -> None:
    chain = {f"l{depth}": (f"__l{depth + 1}__",) for depth in range(LISTS_DEEP_MAX)}

    lists = {**chain, f"l{LISTS_DEEP_MAX}": ("fox",)}
    assert texts("__l1__", times=1, lists=lists) == {"fox"}
    with pytest.raises(WildcardError, match="deeper than 10"):
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
    (tmp_path / "two words.txt").write_bytes(b"drawn")
    (tmp_path / "._animal.txt").write_bytes(b"\xff")
    (tmp_path / "readme.md").write_bytes(b"skipped")

    (tmp_path / "OLD.TXT").write_bytes(b"dos\r\n\x1a")

    lists = read_lists(tmp_path)

    assert lists.names == ["OLD", "animal", "empty", "sub/colour-1", "two words"]
    assert lists.unusable == {}
    assert lists.get("animal").lines == ("fox", "Eule 🦉")
    assert lists.get("sub/colour-1").lines == ("red", "blue # not a comment")
    assert lists.get("two words").lines == ("drawn",)
    assert lists.get("OLD").lines == ("dos",)
    with pytest.raises(WildcardError, match="nothing in the list empty"):
        lists.get("empty")


def test_a_name_with_accents_is_found_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "Fu\u0308chse.txt").write_bytes(b"one")

    assert texts("__F\u00fcchse__", lists=read_lists(tmp_path)) == {"one"}

    (tmp_path / "F\u00fcchse.txt").write_bytes(b"two")
    with pytest.raises(WildcardError, match="two files are called"):
        texts("__F\u00fcchse__", lists=read_lists(tmp_path))


@pytest.mark.parametrize(
    ("file", "name", "message"),
    [
        ("a{b}.txt", "a{b}", "cannot be named: rename it"),
        ("a__b.txt", "a__b", "cannot be named: rename it"),
        ("_a.txt", "_a", "its name begins or ends with"),
        (" a.txt", " a", "its name begins or ends with"),
        ("a.yaml", "a", "a.yaml is not read: a list is a .txt file"),
    ],
)
def test_a_file_that_is_no_list_is_told(tmp_path: Path, file: str, name: str, message: str) -> None:
    (tmp_path / file).write_bytes(b"x")

    lists = read_lists(tmp_path)

    assert lists.names == []
    assert message in lists.unusable[name]
    with pytest.raises(WildcardError, match=message.replace(".", r"\.")):
        lists.get(name)


def test_without_a_folder_there_are_no_lists(tmp_path: Path) -> None:
    assert read_lists(tmp_path / "nowhere").names == []


def test_a_list_that_is_no_utf_8_disturbs_only_prompts_that_name_it(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("Füchslein".encode("cp1252"))
    (tmp_path / "animal.txt").write_bytes(b"fox")
    lists = read_lists(tmp_path)

    assert lists.names == ["animal", "latin"]
    assert texts("__animal__", lists=lists) == {"fox"}
    with pytest.raises(WildcardError) as refusal:
        texts("__latin__", lists=lists)
    assert str(refusal.value) == "the list latin.txt is not UTF-8; save the file as UTF-8"


def test_what_is_drawn_together_is_limited() -> None:
    lists = Lists.of({"many": [str(number) for number in range(PICKS_MAX + 1)]})

    assert len(texts(f"{{{PICKS_MAX}$$__many__}}", 1, lists).pop().split(", ")) == PICKS_MAX
    with pytest.raises(WildcardError, match="at most 100"):
        texts("{1-$$__many__}", 1, lists)


@pytest.mark.parametrize(
    "template",
    [
        "".join(f"${{v{number}=x}}" for number in range(101)),
        "${c=" + "{a|b}" * 4000 + "}" + "${c}" * 100,
    ],
)
def test_variables_that_take_long_are_refused(template: str) -> None:
    with pytest.raises(WildcardError):
        texts(template, 1)


def test_variables_that_multiply_are_stopped() -> None:
    doubled = "".join(f"${{v{n + 1}=${{v{n}}}${{v{n}}}}}" for n in range(25))

    with pytest.raises(WildcardError, match=str(DRAWS_MAX)):
        texts("${v0=x}" + doubled + "${v25}", 1)


def test_long_templates_do_not_stay_in_memory() -> None:
    tracemalloc.start()
    try:
        for number in range(40):
            parse(f"{{{number}|" + "a|" * 5_000 + "b}")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 10_000_000  # one takes about 0.7 MB
