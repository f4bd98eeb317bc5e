"""What a node class takes: one input, its type, range, choices and flags."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

COMBO: Final = "COMBO"
DYNAMIC_COMBO: Final = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW: Final = "COMFY_AUTOGROW_V3"
MATCH_TYPE: Final = "COMFY_MATCHTYPE_V3"

Choice = str | int | float | bool
Number = int | float


@dataclass(frozen=True)
class Branch:
    """One option of a dynamic combo, with the inputs that it brings along."""

    key: Choice
    inputs: tuple[InputSpec, ...] = ()


@dataclass(frozen=True)
class Growth:
    """The inputs of an autogrow: ``names``, or ``prefix`` with numbers from 0 to ``maximum``.

    ``each`` is the spec that all of them share; the first ``minimum`` are required.
    """

    each: InputSpec
    names: tuple[str, ...] = ()
    prefix: str = ""
    minimum: int = 0
    maximum: int = 0

    @cached_property
    def all_names(self) -> tuple[str, ...]:
        """The names of all inputs that it can grow."""
        return self.names or tuple(f"{self.prefix}{index}" for index in range(self.maximum))


@dataclass(frozen=True)
class InputSpec:
    """One input of a node class, as ComfyUI declares it.

    ``type`` is "COMBO" for both ways in which ComfyUI writes choices. ``choices_known`` is false
    for a combo whose choices come from elsewhere. ``default`` is None where there is none.
    ``upload`` is "image", "video", "audio" or "file" for fields that take an uploaded file.
    ``control`` says that ComfyUI's page changes the value after each run.
    """

    name: str
    type: str
    required: bool = True
    default: Any = None
    minimum: Number | None = None
    maximum: Number | None = None
    step: Number | None = None
    choices: tuple[Choice, ...] = ()
    choices_known: bool = True
    multiselect: bool = False
    multiline: bool = False
    dynamic_prompts: bool = False
    force_input: bool = False
    raw_link: bool = False
    lazy: bool = False
    hidden: bool = False
    advanced: bool = False
    socketless: bool = False
    control: bool = False
    upload: str = ""
    image_folder: str = ""
    widget_type: str = ""
    label: str = ""
    allowed_types: str = ""
    branches: tuple[Branch, ...] = ()
    growth: Growth | None = None

    @cached_property
    def grown(self) -> tuple[InputSpec, ...]:
        """The inputs that an autogrow can have, under dotted names; the first few are required."""
        growth = self.growth
        if growth is None:
            return ()
        needed = growth.minimum if self.required and growth.each.required else 0
        return tuple(
            replace(growth.each, name=f"{self.name}.{name}", required=index < needed)
            for index, name in enumerate(growth.all_names)
        )
