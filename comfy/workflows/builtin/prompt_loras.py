"""The LoRAs of a request: those that it lists, and those that its prompt names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comfy.catalogue import Catalogue
from comfy.workflows.builtin.prompt_syntax import LoraTag, LoraTagError, file_named, without_tags
from core.notices import Notice
from core.problems import FieldProblem
from core.wording import nearest


@dataclass(frozen=True)
class LorasRead:
    """``values`` are the inputs as they are used: the prompt without its tags, the LoRAs with."""

    values: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    problems: tuple[FieldProblem, ...] = ()


def read_loras(given: Mapping[str, Any], catalogue: Catalogue) -> LorasRead:
    """Returns the LoRAs of a request, every one with its strength, those of the prompt last.

    Problems have the codes ``lora_tag`` and ``unknown_model``.
    """
    listed = [_whole(one) for one in given.get("loras") or ()]
    try:
        tagged = without_tags(given.get("prompt") or "")
    except LoraTagError as error:
        return LorasRead(problems=(FieldProblem(("prompt",), "lora_tag", str(error)),))
    problems: list[FieldProblem] = []
    for tag in tagged.loras:
        file = file_named(tag.name, catalogue.loras)
        if file is None:
            near = nearest(tag.name, catalogue.loras, "LoRAs")
            said = f"ComfyUI has no LoRA {tag.name}; {near}"
            problems.append(FieldProblem(("prompt",), "unknown_model", said))
        else:
            listed.append(_of_tag(tag, file))
    if problems:
        return LorasRead(problems=tuple(problems))
    values: dict[str, Any] = {"loras": listed} if listed else {}
    if not tagged.loras:
        return LorasRead(values)
    names = ", ".join(one["name"] for one in listed[-len(tagged.loras) :])
    said = f"the prompt names LoRAs; they were taken out of it and are used: {names}"
    notice = Notice(code="loras_from_prompt", loc=("prompt",), message=said)
    return LorasRead({**values, "prompt": tagged.text}, (notice,))


def _whole(lora: Mapping[str, Any]) -> dict[str, Any]:
    strength = lora.get("strength")
    return {**lora, "strength": 1.0 if strength is None else strength}


def _of_tag(tag: LoraTag, file: str) -> dict[str, Any]:
    made = {"name": file, "strength": tag.strength}
    return made if tag.strength_clip is None else {**made, "strength_clip": tag.strength_clip}
