"""Nodes of other tools that exist to mark an input, and the field that holds its value."""

from __future__ import annotations

import re
from typing import Final

DEPLOY: Final = re.compile(r"^Comfy(UI)?DeployExternal(?P<kind>\w+)$")
PACK: Final = re.compile(r"^CPackInput(?P<kind>\w*)$")
SWARM: Final = re.compile(r"^SwarmInput(?!Group)(?P<kind>\w+)$")
KRITA: Final = "ETN_Parameter"

_DEPLOYED_FILES: Final = re.compile(r"Image|Video|Audio|File|EXR|FaceModel")


def value_field(class_type: str) -> str | None:
    """The field of such a node that a request sets; None for every other class."""
    deployed = DEPLOY.match(class_type)
    if deployed:
        if deployed["kind"] == "Lora":
            return "default_lora_name"
        return "input_id" if _DEPLOYED_FILES.match(deployed["kind"]) else "default_value"
    packed = PACK.match(class_type)
    if packed:
        return {"Image": "image", "Audio": "audio", "Video": "video"}.get(packed["kind"], "value")
    if SWARM.match(class_type):
        return "image" if class_type == "SwarmInputImage" else "value"
    return "default" if class_type == KRITA else None
