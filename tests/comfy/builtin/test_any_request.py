"""Whatever is asked for: it is refused with a word, or resolved once and for all."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfy import UnresolvableError
from comfy.families.table import FAMILIES
from core.problems import FieldProblem
from core.requests import ResolvedRequest
from tests.comfy.builtin.asking import (
    CATALOGUE,
    IMAGE,
    MASK,
    OTHER,
    again,
    graph,
    resolved,
)

_SHARES: Final = st.integers(0, 100).map(lambda value: value / 100)
_SIZES: Final = st.integers(8, 256).map(lambda value: 8 * value)
_TEXTS: Final = st.sampled_from([
    "a fox", "a {red|blue} fox", "(fox:1.2)", "fox <lora:lora-sdxl:0.5>", "embedding:easynegative",
    "fox <lora:lora-flux1>", "<lora:lora-sd15>",
])  # fmt: skip
_LORAS: Final = st.fixed_dictionaries(
    {"name": st.sampled_from(CATALOGUE.loras)},
    optional={"strength": _SHARES, "strength_clip": st.none() | _SHARES},
)
_CONTROLS: Final = st.fixed_dictionaries(
    {
        "image": st.just(OTHER),
        "model": st.sampled_from((*CATALOGUE.controlnets, *CATALOGUE.model_patches)),
    },
    optional={
        "type": st.sampled_from(["auto", "canny", "inpaint"]),
        "preprocess": st.sampled_from(["none", "canny", "depth"]),
        "strength": _SHARES,
        "start": _SHARES,
        "end": _SHARES,
    },
)
_HIRES: Final = st.fixed_dictionaries(
    {},
    optional={
        "scale": st.sampled_from([1, 1.3, 2]),
        "method": st.none() | st.sampled_from(["latent", "model"]),
        "model": st.none() | st.just("4x.pth"),
        "steps": st.integers(1, 30),
        "denoise": _SHARES,
    },
)
_MODELS: Final = st.sampled_from((*CATALOGUE.checkpoints, *CATALOGUE.diffusion_models))
_INPUTS: Final = st.fixed_dictionaries(
    {"prompt": _TEXTS, "model": _MODELS},
    optional={
        "negative_prompt": _TEXTS,
        "wildcards": st.booleans(),
        "width": _SIZES,
        "height": _SIZES,
        "steps": st.integers(1, 40),
        "cfg": st.sampled_from([0, 1, 4.5]),
        "guidance": _SHARES,
        "seed": st.integers(0, 9),
        "batch_size": st.integers(1, 3),
        "init_image": st.just(IMAGE),
        "denoise": _SHARES,
        "mask": st.just(MASK),
        "mask_invert": st.booleans(),
        "mask_area": st.sampled_from(["whole", "masked"]),
        "mask_padding": st.integers(0, 99),
        "mask_feather": st.integers(0, 31),
        "outpaint": st.fixed_dictionaries({}, optional={"left": _SIZES, "top": _SIZES}),
        "reference_images": st.lists(st.sampled_from([IMAGE, OTHER]), max_size=3),
        "hires": _HIRES,
        "loras": st.lists(_LORAS, max_size=3),
        "controls": st.lists(_CONTROLS, max_size=2),
        "clip_skip": st.integers(1, 3),
        "refiner": st.fixed_dictionaries(
            {"model": st.just("whole-sdxl.safetensors")}, optional={"switch_at": _SHARES}
        ),
    },
)


def outcome(inputs: dict[str, Any]) -> ResolvedRequest | tuple[FieldProblem, ...]:
    try:
        return resolved(**inputs)
    except UnresolvableError as error:
        return error.problems


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(_INPUTS)
def test_it_is_refused_or_the_same_for_ever(inputs: dict[str, Any]) -> None:
    first = outcome(inputs)
    if isinstance(first, tuple):
        assert first
        assert all(one.loc and one.code and one.message for one in first)
        return
    second = again(first)

    assert json.dumps(second.inputs) == json.dumps(first.inputs)
    assert json.dumps(second.plan.recipe) == json.dumps(first.plan.recipe)
    assert graph(second).to_json() == graph(first).to_json()
    used = {node.class_type for node in graph(first).nodes.values()}
    assert first.plan.classes == tuple(sorted(used))
    assert first.plan.recipe["family"] in FAMILIES
