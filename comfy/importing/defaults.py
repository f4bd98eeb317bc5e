"""Values for inputs that a file does not hold: what the class declares."""

from __future__ import annotations

from typing import Any

from comfy.nodes import COMBO, DYNAMIC_COMBO, InputSpec


def default_of(spec: InputSpec) -> Any:
    """The input's default, else its first choice; None where there is neither."""
    if spec.type == DYNAMIC_COMBO:
        keys = [branch.key for branch in spec.branches]
        return spec.default if spec.default in keys else (keys[0] if keys else None)
    if spec.default is not None:
        return spec.default
    return spec.choices[0] if spec.type == COMBO and spec.choices else None


def literal(value: Any) -> Any:
    """The value as an input in API format: a list is wrapped, so that it is no link."""
    return {"__value__": value} if isinstance(value, list) else value
