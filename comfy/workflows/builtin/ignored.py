"""What a request gets in another way than it asks for, because its model cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from comfy.families.family import Family
from comfy.workflows.builtin.control_kinds import Control, for_another
from comfy.workflows.builtin.models import find
from comfy.workflows.builtin.prompt_syntax import embeddings_in, weighs_words
from comfy.workflows.builtin.prompts import TEXTS
from comfy.workflows.builtin.recipe import Layout
from comfy.workflows.known import Known
from core.notices import Notice

TURBO_STEPS: Final = 10
"""All that SDTurboScheduler has."""


def ignored(given: Mapping[str, Any], cfg: float, family: Family) -> Iterator[Notice]:
    """Yields what the family does not heed.

    Codes: ``negative_prompt_ignored``, ``weights_ignored``, ``embeddings_ignored``,
    ``clip_skip_ignored``, ``guidance_ignored``, ``scheduler_ignored``.
    """
    if given.get("negative_prompt") and cfg == 1:
        said = "at cfg 1 the negative prompt is not heard: give a higher `cfg` to use it"
        yield Notice(code="negative_prompt_ignored", loc=("negative_prompt",), message=said)
    for name in TEXTS:
        text = given.get(name) or ""
        if not family.hears_weights and weighs_words(text):
            said = f"{family.title} reads weights such as (fox:1.2) as words"
            yield Notice(code="weights_ignored", loc=(name,), message=said)
        if embeddings_in(text) and not hears_embeddings(family):
            said = f"{family.title} has no text encoder that takes embeddings: they are left out"
            yield Notice(code="embeddings_ignored", loc=(name,), message=said)
    if (given.get("clip_skip") or 1) > 1 and not family.has_clip_skip:
        said = f"{family.title} has no layers to skip"
        yield Notice(code="clip_skip_ignored", loc=("clip_skip",), message=said)
    if given.get("guidance") is not None and family.defaults.guidance is None:
        said = f"{family.title} takes no guidance, but `cfg`"
        yield Notice(code="guidance_ignored", loc=("guidance",), message=said)
    scheduler = given.get("scheduler")
    if family.chain != "ksampler" and scheduler not in (None, family.defaults.scheduler):
        said = f"{family.title} has a schedule of its own"
        yield Notice(code="scheduler_ignored", loc=("scheduler",), message=said)


def half_heeded(
    loras: Sequence[Mapping[str, Any]], controls: Sequence[Control], family: Family
) -> Iterator[Notice]:
    """Yields what LoRAs and controls of this family have no use for.

    Codes: ``strength_clip_ignored``, ``control_span_ignored``.
    """
    for at, lora in enumerate(loras):
        if "strength_clip" in lora and not family.lora_reaches_encoder:
            said = f"LoRAs of {family.title} do not reach its text encoder"
            loc = ("loras", at, "strength_clip")
            yield Notice(code="strength_clip_ignored", loc=loc, message=said)
    for at, control in enumerate(controls):
        is_partly = control.values["start"] > 0 or control.values["end"] < 1
        if is_partly and control.kind in ("patch", "inpaint_patch") and not _has_span(family):
            name = "start" if control.values["start"] > 0 else "end"
            said = f"a control of {family.title} holds from the first step to the last"
            yield Notice(code="control_span_ignored", loc=("controls", at, name), message=said)


def _has_span(family: Family) -> bool:
    return family.control_patch == "AnimaLLLiteApply"


def hears_embeddings(family: Family) -> bool:
    """Whether one of its text encoders is a CLIP: the others know no embeddings."""
    if family.parts is None:
        return family.has_clip_skip
    return any(one.startswith("clip_") for one in family.parts.encoders)


def foreign(
    loras: Sequence[Mapping[str, Any]], controls: Sequence[Control], family: Family, known: Known
) -> Iterator[Notice]:
    """Yields the files that were made for other models; of one that nothing is known of, nothing.

    Codes: ``lora_of_another_family``, of which no layer is used, and ``control_of_another_family``:
    one of which that is sure is refused.
    """
    for at, lora in enumerate(loras):
        base = find(lora["name"], known, ("loras",)).family
        if base is not None and base != family.base:
            said = for_another(lora["name"], "LoRA", base, family)
            yield Notice(code="lora_of_another_family", loc=("loras", at, "name"), message=said)
    for at, control in enumerate(controls):
        base = control.file.family
        if base is not None and base != family.base:
            said = for_another(control.file.name, "ControlNet", base, family)
            loc = ("controls", at, "model")
            yield Notice(code="control_of_another_family", loc=loc, message=said)


def resized(given: Mapping[str, Any], size: Mapping[str, int], family: Family) -> Iterator[Notice]:
    """Yields ``size_rounded`` where a size that is asked for is not the one that is used."""
    told = {name: given[name] for name in size if given.get(name) is not None}
    if any(told[name] != size[name] for name in told):
        first = next(name for name in told if told[name] != size[name])
        said = (
            f"{family.title} takes multiples of {family.size_multiple}: the image has "
            f"{size['width']} × {size['height']} pixels"
        )
        yield Notice(code="size_rounded", loc=(first,), message=said)


def shrunk(layout: Layout, family: Family) -> Iterator[Notice]:
    """Yields ``scaled_down`` where a start image is too large to be drawn in its own size."""
    part, work = layout.crop.size, layout.work
    least = family.size_multiple
    if part.width - work.width < least and part.height - work.height < least:
        return
    said = (
        f"{part.width} × {part.height} pixels are more than {family.title} draws at once: "
        f"it is drawn at {work.width} × {work.height}"
    )
    if layout.pastes:
        said = f"{said}, and what is new is enlarged"
    yield Notice(code="scaled_down", loc=("init_image",), message=said)


def few_steps(values: Mapping[str, Any], family: Family) -> tuple[dict[str, Any], list[Notice]]:
    """Returns the values with the steps that there are, and ``steps_reduced`` for fewer."""
    if family.chain != "sd_turbo":
        return {}, []
    changed: dict[str, Any] = {}
    notices: list[Notice] = []
    said = f"{family.title} has {TURBO_STEPS} steps at most"
    if values["steps"] > TURBO_STEPS:
        changed["steps"] = TURBO_STEPS
        notices.append(Notice(code="steps_reduced", loc=("steps",), message=said))
    hires = values.get("hires")
    if hires and hires["steps"] > TURBO_STEPS:
        changed["hires"] = {**hires, "steps": TURBO_STEPS}
        notices.append(Notice(code="steps_reduced", loc=("hires", "steps"), message=said))
    return changed, notices
