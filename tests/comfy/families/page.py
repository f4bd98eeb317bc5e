"""The tables of docs/families.md, made from the families' own table.

``python -m tests.comfy.families.page`` writes them into the page; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, get_args

from comfy.families.family import Encoder, Family, Vae
from comfy.families.parts import missing_part
from comfy.families.table import FAMILIES

PAGE: Final = Path(__file__).parents[3] / "docs" / "families.md"
_SECTION: Final = re.compile(r"<!-- made: (\w+) -->\n.*?<!-- end -->", re.DOTALL)
_FILE: Final = re.compile(r"models/(?:text_encoders|vae)/(\S+)")
_PIXEL_SPACE: Final = "`pixel_space`, which ComfyUI brings along"
_NODES: Final = {
    "QwenImageDiffsynthControlnet": "DiffSynth patches",
    "ZImageFunControlnet": "Fun patches",
    "AnimaLLLiteApply": "LLLite patches",
}


def made(page: str) -> str:
    """Returns the page with its tables as they are now."""
    return _SECTION.sub(lambda found: _section(found[1]), page)


def _section(name: str) -> str:
    lines = {"values": _families, "files": _parts, "abilities": _tasks}[name]()
    return "\n".join((f"<!-- made: {name} -->", *lines, "<!-- end -->"))


def _lines(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for cells in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


# --- the rows, and what each is drawn with


def _families() -> Iterator[str]:
    head = ("family", "name", "size", "steps", "CFG", "guidance", "sampler, scheduler", "ComfyUI")
    yield from _lines(head, map(_values, FAMILIES.values()))


def _values(family: Family) -> tuple[str, ...]:
    own = family.defaults
    schedule = own.scheduler if family.chain == "ksampler" else "its own"
    return (
        family.title,
        f"`{family.name}`",
        f"{own.width} × {own.height} / {family.size_multiple}",
        str(own.steps),
        f"{own.cfg:g}",
        "" if own.guidance is None else f"{own.guidance:g}",
        f"{own.sampler}, {schedule}",
        ".".join(map(str, family.oldest)) or "any",
    )


# --- which files it needs


def _parts() -> Iterator[str]:
    head = ("family", "models/text_encoders", "models/vae")
    yield from _lines(head, map(_files, _with_parts()))


def _with_parts() -> Iterator[tuple[list[str], Family]]:
    """Families of the same files share a row."""
    seen: dict[object, list[str]] = {}
    for family in FAMILIES.values():
        if family.parts is not None:
            seen.setdefault((family.parts.encoders, family.parts.vae), []).append(family.name)
    for names in seen.values():
        yield names, FAMILIES[names[0]]


def _files(row: tuple[list[str], Family]) -> tuple[str, ...]:
    names, family = row
    assert family.parts is not None  # the caller gives no other
    encoders = [_file(one) for one in family.parts.encoders]
    titles = ", ".join(FAMILIES[name].title for name in names)
    return titles, ", ".join(encoders), _file(family.parts.vae)


def _file(kind: Encoder | Vae) -> str:
    found = _FILE.search(missing_part(kind))
    return f"`{found[1]}`" if found else _PIXEL_SPACE


# --- what it can do


def _tasks() -> Iterator[str]:
    head = ("family", "text", "image", "mask, outpaint", "edit", "LoRA", "controls", "CLIP skip",
            "weights")  # fmt: skip
    yield from _lines(head, map(_abilities, _alike()))


def _alike() -> Iterator[tuple[list[str], Family]]:
    seen: dict[object, list[str]] = {}
    for family in FAMILIES.values():
        seen.setdefault(_abilities(([], family))[1:], []).append(family.name)
    for names in seen.values():
        yield names, FAMILIES[names[0]]


def _abilities(row: tuple[list[str], Family]) -> tuple[str, ...]:
    names, family = row
    return (
        ", ".join(FAMILIES[name].title for name in names),
        _yes(not family.needs_reference and not family.inpaints_by_conditioning),
        _yes(not family.inpaints_by_conditioning),
        "inpaint model" if family.inpaints_by_conditioning else "yes",
        _images(family),
        "model and text encoder" if family.lora_reaches_encoder else "model",
        _controls(family),
        _yes(family.has_clip_skip),
        _yes(family.hears_weights),
    )


def _yes(it_does: bool) -> str:
    return "yes" if it_does else ""


def _images(family: Family) -> str:
    if family.edit is None:
        return ""
    return "1 image" if family.references_max == 1 else f"up to {family.references_max} images"


def _controls(family: Family) -> str:
    found = ["ControlNet"] if family.has_controls else []
    if family.control_patch is not None:
        found.append(_NODES[family.control_patch])
    return ", ".join(found)


KINDS: Final = (*get_args(Encoder), *get_args(Vae))
"""All that a family may need beside its model."""


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text()))
