"""The words of a request as they are used: wildcards drawn, LoRAs taken out, embeddings known."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from comfy.catalogue import Catalogue
from comfy.workflows.builtin.naming import near
from comfy.workflows.builtin.prompt_loras import names_loras, read_loras
from comfy.workflows.builtin.prompt_syntax import embeddings_in, has_embedding
from comfy.workflows.known import Known
from core.batches.drawing import draw
from core.batches.wildcards import WildcardError, parse
from core.fields import PROMPT_MAX, not_blank
from core.notices import Notice
from core.problems import FieldProblem
from core.wording import written

TEXTS: Final = ("prompt", "negative_prompt")


@dataclass(frozen=True)
class Words:
    """``values`` are those of the inputs that differ from what is given."""

    values: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    problems: tuple[FieldProblem, ...] = ()


_AS_GIVEN: Final = Words()


def read_words(given: Mapping[str, Any], seed: int, known: Known, *, suggest: bool = True) -> Words:
    """Returns the texts of a request and its LoRAs.

    Notices: ``wildcards_drawn``, ``loras_from_prompt``, ``loras_ignored``. Problems: ``wildcard``
    for wildcards that cannot be drawn, those of ``read_loras``, ``blank_prompt`` where nothing else
    is in the prompt, ``string_too_long``.
    """
    drawn = _drawn(given, seed, known) if given.get("wildcards") else _AS_GIVEN
    if drawn.problems:
        return drawn
    told = {**given, **drawn.values}
    unheard = tuple(_unheard(told))
    if drawn is _AS_GIVEN and not names_loras(told):
        return Words(notices=unheard) if unheard else _AS_GIVEN
    loras = read_loras(told, known.catalogue, suggest=suggest)
    values = {**drawn.values, **loras.values}
    problems = [*loras.problems, *_unusable(values)]
    return Words(values, (*drawn.notices, *loras.notices, *unheard), tuple(problems))


def _unheard(told: Mapping[str, Any]) -> Iterator[Notice]:
    """Yields that LoRAs are not read from a negative prompt, if it has one."""
    if names_loras({"prompt": told.get("negative_prompt")}):
        said = "LoRAs are read from the prompt only: here they are words like any others"
        yield Notice(code="loras_ignored", loc=("negative_prompt",), message=said)


def _drawn(given: Mapping[str, Any], seed: int, known: Known) -> Words:
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    values: dict[str, Any] = {"wildcards": False}
    notices: list[Notice] = []
    problems: list[FieldProblem] = []
    for name in TEXTS:
        text = given.get(name)
        if not text:
            continue
        try:
            values[name] = draw(parse(text), chance, known.lists)
        except WildcardError as error:
            problems.append(FieldProblem((name,), "wildcard", str(error)))
            continue
        if values[name] != text:
            said = f"the wildcards were drawn by the seed: {written(values[name])}"
            notices.append(Notice(code="wildcards_drawn", loc=(name,), message=said))
    return Words(values, tuple(notices), tuple(problems))


def _unusable(changed: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """Yields what is wrong with texts that were changed: those given are checked already."""
    for name in TEXTS:
        if len(changed.get(name, "")) > PROMPT_MAX:
            said = f"it has more than {PROMPT_MAX} characters when its wildcards are drawn"
            yield FieldProblem((name,), "string_too_long", said)
    if "prompt" in changed:
        try:
            not_blank(changed["prompt"])
        except ValueError:
            said = "nothing is left of the prompt without its wildcards and LoRAs: say what to draw"
            yield FieldProblem(("prompt",), "blank_prompt", said)


def unknown_embeddings(
    values: Mapping[str, Any], catalogue: Catalogue | None, *, suggest: bool
) -> list[FieldProblem]:
    """Returns the embeddings that prompts name and the ComfyUI lacks: ``unknown_embedding``.

    ComfyUI itself would leave them out without a word.
    """
    if catalogue is None:
        return []
    problems: list[FieldProblem] = []
    for at in TEXTS:
        for name in embeddings_in(values.get(at) or ""):
            if not has_embedding(name, catalogue.embeddings):
                said = f"ComfyUI has no embedding {written(name)}"
                if suggest:
                    said = f"{said}; {near(name, catalogue.embeddings, 'embeddings')}"
                problems.append(FieldProblem((at,), "unknown_embedding", said))
    return problems
