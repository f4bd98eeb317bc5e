"""Prompts as they are used: LoRAs taken out of them, wildcards drawn, embeddings known."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy.workflows.builtin.inputs import LORAS_MAX
from comfy.workflows.builtin.prompt_syntax import (
    LoraTag,
    LoraTagError,
    file_named,
    has_embedding,
    weighs_words,
    without_tags,
)
from core.batches.lists import Lists
from core.fields import PROMPT_MAX
from tests.comfy.builtin.asking import CATALOGUE, KNOWN, again, notices, problems, resolved, said

LORA: Final = "lora-sdxl.safetensors"
XL: Final[dict[str, Any]] = {"model": "whole-sdxl.safetensors"}
_NAMES: Final = st.text(
    st.characters(exclude_characters=":<>\r\n", exclude_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: bool(name.strip()))
_STRENGTHS: Final = st.floats(-20, 20).map(lambda value: round(value, 4))
_WORDS: Final = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]))


def written(tag: LoraTag) -> str:
    numbers = [f"{tag.strength:f}"]
    if tag.strength_clip is not None:
        numbers.insert(0, f"{tag.strength_clip:f}")
    return f"<lora:{tag.name}:{':'.join(numbers)}>"


# --- LoRAs


@given(
    st.lists(
        st.tuples(_WORDS, st.builds(LoraTag, _NAMES, _STRENGTHS, st.none() | _STRENGTHS)),
        max_size=6,
    ),
    _WORDS,
)
def test_tags_are_taken_out_and_the_words_stay(parts: list[tuple[str, LoraTag]], last: str) -> None:
    text = "".join(f"{words}{written(tag)}" for words, tag in parts) + last

    tagged = without_tags(text)

    assert tagged.loras == tuple(replace(tag, name=tag.name.strip()) for _, tag in parts)
    assert "<lora:" not in tagged.text
    words = "".join(words for words, _ in parts) + last
    if parts:
        assert "".join(tagged.text.split()) == "".join(words.split())
    else:
        assert tagged.text == text


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    with suppress(LoraTagError):
        tagged = without_tags(text)
        assert bool(tagged.loras) or tagged.text == text


@pytest.mark.timeout(60)
def test_a_long_row_of_blanks_is_read_once() -> None:
    """Read anew from each of them, these would take hours."""
    blanks = " " * 1_000_000

    assert without_tags(f"a fox <lora:{blanks}").loras == ()
    assert without_tags(f"a{blanks}<lora:b:2>c").text == "ac"


@pytest.mark.parametrize(
    ("tag", "lora"),
    [
        ("<lora:lora-sdxl>", {"strength": 1.0}),
        ("<lora:lora-sdxl:0.5>", {"strength": 0.5}),
        ("<LORA:LoRA-SDXL.safetensors:-.5>", {"strength": -0.5}),
        ("<lora:lora-sdxl:0.25:0.75>", {"strength": 0.75, "strength_clip": 0.25}),
        ("<lora: lora-sdxl : 2. >", {"strength": 2.0}),
    ],
)
def test_a_tag_becomes_an_entry(tag: str, lora: dict[str, float]) -> None:
    request = resolved(prompt=f"a fox {tag}, at dawn", **XL)

    assert request.prompt == "a fox, at dawn"
    assert request.inputs["loras"] == [{"name": LORA, **lora}]
    assert notices(request) == {"loras_from_prompt": ("prompt",)}
    assert LORA in said(request, "loras_from_prompt")


def test_a_tag_in_a_negative_prompt_is_read_as_words_and_that_is_told() -> None:
    text = "blurry <lora:lora-sdxl>"
    request = resolved(prompt="a fox", negative_prompt=text, **XL)

    assert request.inputs["negative_prompt"] == text
    assert "loras" not in request.inputs
    assert notices(request) == {"loras_ignored": ("negative_prompt",)}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (" " * 9_000 + "fox  <lora:lora-sdxl>  <lora:lora-sdxl> x", "fox x"),
        ("<lora:lora-sdxl>" + ":" * 9_000, ":" * 9_000),
        ("fox\t\n<lora:lora-sdxl>\n", "fox"),
    ],
)
def test_blanks_before_a_tag_go_with_it(text: str, left: str) -> None:
    tagged = without_tags(text)

    assert tagged.text.split() == left.split()
    assert {tag.name for tag in tagged.loras} == {"lora-sdxl"}


def test_those_of_the_prompt_come_last() -> None:
    request = resolved(
        prompt="a fox <lora:lora-sdxl:0.1>",
        loras=[{"name": LORA, "strength": 0.9, "strength_clip": None}, {"name": LORA}],
        **XL,
    )

    assert request.inputs["loras"] == [
        {"name": LORA, "strength": 0.9},
        {"name": LORA, "strength": 1.0},
        {"name": LORA, "strength": 0.1},
    ]
    assert request.plan.models["loras"] == (LORA,)


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("a fox <lora:lora-sdxl:strong>", "lora_tag"),
        ("a fox <lora:lora-sdxl:1:1:1>", "lora_tag"),
        ("a fox <lora:lora-sdxl:21>", "lora_tag"),
        ("a fox <lora:lora-sdxl:-20.5:1>", "lora_tag"),
        ("a fox <lora:lora-sdx:1>", "unknown_model"),
        ("<lora:lora-sdxl:1>", "blank_prompt"),
    ],
)
def test_tags_that_cannot_be_used(prompt: str, code: str) -> None:
    assert problems(prompt=prompt, **XL)[("prompt",)][0] == code


def test_an_unknown_lora_of_a_prompt_is_told_with_near_ones() -> None:
    assert LORA in problems(prompt="a fox <lora:lora-sdx:1>", **XL)[("prompt",)][1]


def test_there_are_not_too_many() -> None:
    many = [{"name": LORA}] * LORAS_MAX

    found = problems(prompt="a fox <lora:lora-sdxl>", loras=many, **XL)

    assert found[("loras",)][0] == "too_many_loras"
    assert len(resolved(loras=many, **XL).inputs["loras"]) == LORAS_MAX


def test_without_a_catalogue_a_tag_names_a_file() -> None:
    away = replace(KNOWN, catalogue=None)
    prompt = "a fox <lora:styles/ink v1.5> <lora:own.safetensors:0.5>"

    request = resolved(known=away, prompt=prompt, **XL)

    assert [one["name"] for one in request.inputs["loras"]] == [
        "styles/ink v1.5.safetensors",
        "own.safetensors",
    ]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a/Ink.safetensors", "a/Ink.safetensors"),
        ("a/ink", "a/Ink.safetensors"),
        ("ink", "a/Ink.safetensors"),
        ("a\\Ink", "a/Ink.safetensors"),
        ("ink.pt", "b/ink.pt"),
        ("INK.safetensors", "a/Ink.safetensors"),
        ("in", None),
        ("", None),
    ],
)
def test_which_file_a_name_means(name: str, file: str | None) -> None:
    files = ("a/Ink.safetensors", "b/ink.pt", "c.safetensors")

    assert file_named(name, files) == file


# --- wildcards


def test_wildcards_are_drawn_by_the_seed_when_asked() -> None:
    def drawn(seed: int) -> str:
        return resolved(prompt="a {red|blue} fox", wildcards=True, seed=seed, **XL).prompt

    assert {drawn(seed) for seed in range(20)} == {"a red fox", "a blue fox"}
    assert drawn(7) == drawn(7)
    assert resolved(prompt="a {red|blue} fox", **XL).prompt == "a {red|blue} fox"


def test_what_was_drawn_is_told_and_drawn_no_more() -> None:
    request = resolved(prompt=r"a \{red\|blue\} {fox}", negative_prompt="{x}", wildcards=True, **XL)

    assert request.prompt == "a {red|blue} fox"
    assert request.inputs["wildcards"] is False
    assert {one.loc for one in request.plan.notices if one.code == "wildcards_drawn"} == {
        ("prompt",),
        ("negative_prompt",),
    }
    assert again(request).prompt == "a {red|blue} fox"


def test_what_stays_as_it_is_needs_no_word() -> None:
    assert notices(resolved(wildcards=True, **XL)) == {}


def test_lists_are_those_that_are_known() -> None:
    lists = replace(KNOWN, lists=Lists.of({"animal": ["cat"]}))

    assert resolved(known=lists, prompt="a __animal__", wildcards=True, **XL).prompt == "a cat"
    code, message = problems(known=lists, prompt="a __animals__", wildcards=True, **XL)[("prompt",)]
    assert code == "wildcard"
    assert "animal" in message


def test_a_drawn_lora_is_one() -> None:
    request = resolved(prompt="a fox {<lora:lora-sdxl:0.5>}", wildcards=True, **XL)

    assert request.prompt == "a fox"
    assert request.inputs["loras"] == [{"name": LORA, "strength": 0.5}]


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("{a|b", "wildcard"),
        ("{}", "blank_prompt"),
        ("{a,}" + "x" * (PROMPT_MAX - 4), None),
        ("__long____long__", "string_too_long"),
    ],
)
def test_what_cannot_be_drawn(prompt: str, code: str | None) -> None:
    lists = replace(KNOWN, lists=Lists.of({"long": ["x" * (PROMPT_MAX // 2 + 1)]}))
    inputs: dict[str, Any] = {"known": lists, "prompt": prompt, "wildcards": True, **XL}

    if code is None:
        assert resolved(**inputs).prompt
    else:
        assert problems(**inputs)[("prompt",)][0] == code


# --- embeddings and weights


def test_an_unknown_embedding_is_refused() -> None:
    found = problems(
        prompt="a fox, embedding:easynegativ", negative_prompt="(embedding:bad:1.2)", **XL
    )

    assert found[("prompt",)][0] == found[("negative_prompt",)][0] == "unknown_embedding"
    assert "easynegative" in found[("prompt",)][1]


@pytest.mark.parametrize("name", ["easynegative", "easynegative.pt", "noir", "styles/noir"])
def test_a_known_one_is_taken(name: str) -> None:
    assert notices(resolved(prompt=f"a fox, (embedding:{name}:0.8)", **XL)) == {}


def test_comfyui_tells_upper_from_lower_case() -> None:
    assert not has_embedding("EasyNegative", CATALOGUE.embeddings)
    assert resolved(prompt="Embedding:nothing", **XL).prompt == "Embedding:nothing"


def test_a_family_that_takes_none_says_so() -> None:
    request = resolved(prompt="a fox, embedding:nothing", model="z-image-turbo.safetensors")

    assert notices(request) == {"embeddings_ignored": ("prompt",)}


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("(fox:1.2)", True),
        ("a (red fox: .5 ) x", True),
        ("(fox)", False),
        ("fox:1.2", False),
        ("(at 12:30)", True),
        (r"\(fox:1.2\)", False),
        ("", False),
    ],
)
def test_weights_are_seen(text: str, does: bool) -> None:
    """As ComfyUI reads them (comfy/sd1_clip.py, token_weights)."""
    assert weighs_words(text) is does
