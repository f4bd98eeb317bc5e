"""The LoRAs of a request: those that it lists, and those that its prompt names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from comfy.catalogue import Catalogue
from comfy.families.family import Family
from comfy.workflows.builtin.inputs import LORAS_MAX, STRENGTH_MAX
from comfy.workflows.builtin.naming import near
from comfy.workflows.builtin.prompt_syntax import (
    EXTENSIONS,
    LoraTag,
    LoraTagError,
    file_named,
    without_tags,
)
from core.notices import Notice
from core.problems import FieldProblem
from core.wording import written

_TAG: Final = "<lora:"


@dataclass(frozen=True)
class LorasRead:
    """``values`` are the inputs as they are used: the prompt without its tags, the LoRAs with."""

    values: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    problems: tuple[FieldProblem, ...] = ()


def names_loras(given: Mapping[str, Any]) -> bool:
    """Whether a request lists LoRAs, or its prompt may name some."""
    return bool(given.get("loras")) or _TAG in (given.get("prompt") or "").lower()


def read_loras(
    given: Mapping[str, Any], catalogue: Catalogue | None, *, suggest: bool = True
) -> LorasRead:
    """Returns the LoRAs of a request, every one with its strength, those of the prompt last.

    Problems have the codes ``lora_tag``, ``unknown_model`` and ``too_many_loras``; the notice of
    what was taken out of the prompt is ``loras_from_prompt``. Without a catalogue a tag names the
    file as it stands.
    """
    loras = [whole(one) for one in given.get("loras") or ()]
    try:
        tagged = without_tags(given.get("prompt") or "")
    except LoraTagError as error:
        return LorasRead(problems=(FieldProblem(("prompt",), "lora_tag", str(error)),))
    if not tagged.loras:
        return LorasRead({"loras": loras} if loras else {})
    problems: list[FieldProblem] = []
    for tag in tagged.loras:
        found = _of_tag(tag, catalogue, suggest=suggest)
        if isinstance(found, FieldProblem):
            problems.append(found)
        else:
            loras.append(found)
    if len(loras) > LORAS_MAX:
        said = f"with those of the prompt there are {len(loras)} LoRAs, {LORAS_MAX} at most"
        problems.append(FieldProblem(("loras",), "too_many_loras", said))
    if problems:
        return LorasRead(problems=tuple(problems))
    names = ", ".join(one["name"] for one in loras[-len(tagged.loras) :])
    said = f"the prompt names LoRAs; they were taken out of it and are used: {names}"
    notice = Notice(code="loras_from_prompt", loc=("prompt",), message=said)
    return LorasRead({"loras": loras, "prompt": tagged.text}, (notice,))


def whole(lora: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a LoRA with its strength; that of the text encoder only where it is another one."""
    strength = lora.get("strength")
    made = {"name": lora["name"], "strength": 1.0 if strength is None else strength}
    of_clip = lora.get("strength_clip")
    return made if of_clip is None else {**made, "strength_clip": of_clip}


def heard_loras(loras: Sequence[Mapping[str, Any]], family: Family) -> list[dict[str, Any]]:
    """Returns LoRAs as a family takes them: some never reach its text encoder."""
    if family.lora_reaches_encoder:
        return [dict(one) for one in loras]
    return [{name: one[name] for name in ("name", "strength")} for one in loras]


def _of_tag(
    tag: LoraTag, catalogue: Catalogue | None, *, suggest: bool
) -> dict[str, Any] | FieldProblem:
    strengths = (tag.strength, tag.strength_clip or 0.0)
    if any(abs(one) > STRENGTH_MAX for one in strengths):
        said = (
            f"the strength of <lora:{written(tag.name)}:…> must be -{STRENGTH_MAX} … {STRENGTH_MAX}"
        )
        return FieldProblem(("prompt",), "lora_tag", said)
    file = _file(tag.name, catalogue)
    if file is not None:
        return whole({"name": file, "strength": tag.strength, "strength_clip": tag.strength_clip})
    assert catalogue is not None  # without one, any name is a file's
    said = f"ComfyUI has no LoRA {written(tag.name)}"
    if suggest:
        said = f"{said}; {near(tag.name, catalogue.loras, 'LoRAs')}"
    return FieldProblem(("prompt",), "unknown_model", said)


def _file(name: str, catalogue: Catalogue | None) -> str | None:
    if catalogue is not None:
        return file_named(name, catalogue.loras)
    return name if name.lower().endswith(EXTENSIONS) else f"{name}{EXTENSIONS[0]}"
