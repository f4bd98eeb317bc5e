"""Which inputs a node has: those of the chosen options of its dynamic combos are among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from comfy.nodes.inputs import AUTOGROW, DYNAMIC_COMBO, InputSpec

_DEPTH_MAX: Final = 8


def live_inputs(
    inputs: Iterable[InputSpec], values: Mapping[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[InputSpec]:
    """The inputs that ComfyUI sees for these values, in order, under dotted names.

    A dynamic combo is followed by the inputs of its chosen option ("format.codec"); instead of
    an autogrow come the inputs that it can grow ("images.image0", …).
    """
    if depth > _DEPTH_MAX:
        return
    for spec in inputs:
        named = replace(spec, name=prefix + spec.name) if prefix else spec
        if spec.type == AUTOGROW:
            yield from named.grown
            continue
        yield named
        if spec.type == DYNAMIC_COMBO:
            chosen = chosen_inputs(named, values.get(named.name))
            yield from live_inputs(chosen, values, f"{named.name}.", depth + 1)


def chosen_inputs(spec: InputSpec, key: object) -> tuple[InputSpec, ...]:
    """The inputs of the option of that key, none if a dynamic combo has no such option."""
    return next(
        (branch.inputs for branch in spec.branches if branch.key == key and key is not None), ()
    )
