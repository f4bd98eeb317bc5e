"""SwarmUI's graphs: values that it fills in are left as placeholders in its pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_MARK: Final = "%%_COMFYFIXME_"
_PLACEHOLDER: Final = re.compile(
    r"%%_COMFYFIXME_\$\{(?P<name>[\w.]+)(?P<offset>\+\d+)?(?::(?P<default>[^}]*))?\}"
    r"_ENDFIXME_%%"
)
_NAMES: Final = {"negative_prompt": "negativeprompt", "cfg_scale": "cfgscale"}
"""Names of placeholders whose parameter is written otherwise."""
_DEPTH_MAX: Final = 20


def has_placeholders(graph: Mapping[str, Any]) -> bool:
    """Whether a graph holds placeholders of SwarmUI's among its inputs."""
    return any(
        isinstance(value, str) and _MARK in value
        for node in graph.values()
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict)
        for value in node["inputs"].values()
    )


def filled_placeholders(graph: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The graph with the values of ``sui_image_params``, else the placeholders' own defaults."""
    return {key: _filled(node, parameters, 0) for key, node in graph.items()}


def _filled(value: Any, parameters: Mapping[str, Any], depth: int) -> Any:
    if depth > _DEPTH_MAX:
        return value
    if isinstance(value, dict):
        return {key: _filled(inner, parameters, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, parameters, depth + 1) for inner in value]
    if not isinstance(value, str) or _MARK not in value:
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole:
        return _value(whole, parameters)
    return _PLACEHOLDER.sub(lambda found: str(_value(found, parameters)), value)


def _value(found: re.Match[str], parameters: Mapping[str, Any]) -> Any:
    name = found["name"].lower()
    value = parameters.get(_NAMES.get(name, name).replace("_", ""), parameters.get(name))
    if value is None:
        value = _plain(found["default"] or "")
    if found["offset"] and isinstance(value, int):
        return value + int(found["offset"][:10])
    return value


def _plain(text: str) -> Any:
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d{1,18}\.\d{1,18}", text) else text
