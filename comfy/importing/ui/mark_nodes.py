"""The widgets of nodes that mark inputs for other tools, in the order in which files hold them.

A ComfyUI without those packs does not tell, and such nodes are what their workflows are about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_TOLD: Final = ("display_name", "description")
_PLAIN: Final = ("input_id", "default_value", *_TOLD)
_RANGED: Final = ("input_id", "default_value", "min_value", "max_value", *_TOLD)
_DEPLOY: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        ("Text", "TextAny", "TextSingleLine", "Number", "NumberInt", "Boolean"), _PLAIN
    ),
    **dict.fromkeys(("NumberSlider", "NumberSliderInt", "Seed"), _RANGED),
    "Enum": ("input_id", "default_value", "options", *_TOLD),
    "Image": ("input_id", *_TOLD, "default_value_url"),
    "ImageAlpha": ("input_id", *_TOLD),
    "Video": (
        "input_id", "force_rate", "force_size", "custom_width", "custom_height", "frame_load_cap",
        "skip_first_frames", "select_every_nth", "default_video", *_TOLD, "default_value_url",
    ),
    "Lora": (
        "input_id", "default_lora_name", "lora_save_name", *_TOLD, "lora_url", "bearer_token",
    ),
}  # fmt: skip
_COMMON: Final = ("description", "order_priority", "is_advanced", "raw_id")
_NUMBER: Final = ("title", "value", "step", "min", "max", "view_max", "view_type", *_COMMON)
_SWARM: Final[Mapping[str, tuple[str, ...]]] = {
    "Text": ("title", "value", "view_type", *_COMMON),
    "Integer": _NUMBER,
    "Float": _NUMBER,
    "ModelName": ("title", "value", "subtype", *_COMMON),
    "Checkpoint": ("title", "value", *_COMMON),
    "Boolean": ("title", "value", *_COMMON),
    "Dropdown": ("title", "value", "values", *_COMMON),
    "Image": ("title", "value", "auto_resize", "image", *_COMMON),
    "Group": (
        "title", "open_by_default", "description", "order_priority", "is_advanced", "can_shrink",
    ),
}  # fmt: skip
_PACK: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("String", "Boolean", "Float", "Universal"), ("value",)),
    "Int": ("value", "min", "max"),
    "Image": ("image",),
    "Path": ("path",),
}
_KRITA: Final[Mapping[str, tuple[str, ...]]] = {
    "Parameter": ("name", "type", "default", "min", "max"),
    "KritaStyle": ("name", "sampler_preset"),
}
_FAMILIES: Final = (
    (re.compile(r"Comfy(?:UI)?DeployExternal(\w+)"), _DEPLOY),
    (re.compile(r"SwarmInput(\w+)"), _SWARM),
    (re.compile(r"CPackInput(\w+)"), _PACK),
    (re.compile(r"ETN_(\w+)"), _KRITA),
)


def marked_fields(class_type: str) -> tuple[str, ...]:
    """The names of such a node's widgets in order; empty for every other class."""
    for words, known in _FAMILIES:
        found = words.fullmatch(class_type)
        if found:
            return known.get(found[1], ())
    return ()
