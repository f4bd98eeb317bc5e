"""A candidate as a declared input: its type, range, choices and default, from the catalogue."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from comfy.importing.checking.values import OPEN_CHOICES
from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.marked_nodes import value_field
from comfy.importing.proposal.models import folder_of, is_model, names_models
from comfy.importing.proposal.texts import is_text
from comfy.importing.proposal.uploads import kind_of
from comfy.importing.proposal.wiring import ANY_TYPES, Wiring
from comfy.nodes import COMBO, DYNAMIC_COMBO, InputSpec
from core.fields import SEED_MAX
from core.workflows.declaration import (
    SHARED_ROLES,
    UPLOAD_TYPES,
    ChoicesFrom,
    Input,
    InputType,
    Role,
    Target,
)

_EXACT_MAX: Final = 2**53
"""Beyond it, a bound says only that there is none."""
_LABEL_MAX: Final = 200
_HELP_MAX: Final = 2000
_FROZEN_MAX: Final = 200
_OF_FILES: Final[frozenset[Role]] = frozenset(
    {"init_image", "mask", "reference_image", "control_image"}
)
_LABELS: Final[dict[str, str]] = {
    "negative_prompt": "Negative prompt",
    "cfg": "CFG",
    "vae": "VAE",
    "lora": "LoRA",
    "text_encoder": "Text encoder",
    "batch_size": "Batch size",
    "init_image": "Image",
    "reference_image": "Reference image",
    "control_image": "Control image",
    "duration_s": "Duration",
    "fps": "Frames per second",
}
_ADDRESS: Final = re.compile(r"^\w+://|^data:|^clipspace/|^/|^[A-Za-z]:[\\/]|\.\.|\[temp\]")


def declared(wiring: Wiring, candidate: Candidate, name: str) -> Input:
    """The input that a candidate stands for."""
    kind = type_of(wiring, candidate)
    first = _choosing(wiring, candidate) or candidate.targets[0]
    specs = _bounding(wiring, candidate)
    minimum, maximum = _range(candidate, specs) if kind in ("integer", "number") else (None, None)
    if kind == "seed":
        maximum = _seed_maximum(specs)
    default, is_missing = _default(wiring, candidate, kind)
    choices, choices_from = _choices(wiring, candidate, kind)
    return Input(
        name=name,
        type=kind,
        role=None if candidate.role in _OF_FILES and kind not in UPLOAD_TYPES else candidate.role,
        label=_label(candidate)[:_LABEL_MAX] or None,
        help=candidate.help[:_HELP_MAX] or None,
        group=candidate.group[:_LABEL_MAX] or None,
        advanced=candidate.advanced and not is_missing,
        required=is_missing,
        default=default,
        minimum=minimum,
        maximum=maximum,
        multiple_of=_multiple(specs, default) if kind == "integer" else None,
        choices=choices,
        choices_from=choices_from,
        folder=folder_of(wiring.class_type(first.node_id), first.input)
        if kind == "model"
        else None,
        targets=tuple(Target(node=one.node_id, field=one.input) for one in candidate.targets),
    )


def type_of(wiring: Wiring, candidate: Candidate) -> InputType:
    """The type of an input, from its first field where nobody has said it."""
    choosing = _choosing(wiring, candidate)
    if choosing is not None and candidate.type in (None, "text", "longtext"):
        value = wiring.value(candidate.targets[0])
        return "model" if names_models(wiring, choosing, str(value)) else "choice"
    kind = candidate.type or _type_of_field(wiring, candidate.targets[0])
    first = candidate.targets[0]
    is_closed = wiring.class_type(first.node_id) not in OPEN_CHOICES
    has_choices = bool(candidate.choices) or (is_closed and _is_combo(wiring.spec(first)))
    return "text" if kind == "choice" and not has_choices else kind


def _type_of_field(wiring: Wiring, place: Place) -> InputType:
    loaded = kind_of(wiring, place)
    if loaded is not None:
        return loaded
    if is_model(wiring, place):
        return "model"
    spec, value = wiring.spec(place), wiring.value(place)
    if spec is not None and _is_combo(spec):
        return "choice"
    known: dict[str, InputType] = {"INT": "integer", "FLOAT": "number", "BOOLEAN": "boolean"}
    if spec is not None and spec.type in known and not isinstance(value, str):
        return known[spec.type]
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) and (spec is None or spec.type in ANY_TYPES):
        return "integer"
    if isinstance(value, int | float):
        return "number"
    is_long = is_text(wiring, place) or "\n" in str(value) or len(str(value)) > 100
    return "longtext" if is_long else "text"


def _choosing(wiring: Wiring, candidate: Candidate) -> Place | None:
    """The field with choices that a value is handed on to by a primitive or a marking node."""
    place = candidate.targets[0]
    class_type = wiring.class_type(place.node_id)
    hands_on = value_field(class_type) == place.input or class_type.startswith("Primitive")
    if not hands_on or candidate.choices or not isinstance(wiring.value(place), str):
        return None
    takers = ((taker, wiring.spec(taker)) for taker in wiring.takers(place.node_id))
    return next((taker for taker, spec in takers if spec and spec.type == COMBO), None)


def _is_combo(spec: InputSpec | None) -> bool:
    return spec is not None and spec.type in (COMBO, DYNAMIC_COMBO)


def _bounding(wiring: Wiring, candidate: Candidate) -> tuple[InputSpec, ...]:
    own = (wiring.spec(place) for place in candidate.targets)
    return (*(spec for spec in own if spec is not None), *candidate.specs)


def _range(candidate: Candidate, specs: tuple[InputSpec, ...]) -> tuple[float | None, float | None]:
    """The range that all fields take, unless there is none."""
    lows = _bounds([*(spec.minimum for spec in specs), candidate.minimum])
    highs = _bounds([*(spec.maximum for spec in specs), candidate.maximum])
    low, high = max(lows, default=None), min(highs, default=None)
    return (None, None) if low is not None and high is not None and low > high else (low, high)


def _bounds(values: list[float | None]) -> list[float]:
    return [float(one) for one in values if one is not None and abs(one) < _EXACT_MAX]


def _seed_maximum(specs: tuple[InputSpec, ...]) -> float:
    told = [float(spec.maximum) for spec in specs if spec.maximum is not None and spec.maximum > 0]
    return min([*told, float(SEED_MAX)])


def _multiple(specs: tuple[InputSpec, ...], default: Any) -> float | None:
    steps = [spec.step for spec in specs if isinstance(spec.step, int) and spec.step > 1]
    if not steps or not isinstance(default, int):
        return None
    step = max(steps)
    starts = [spec.minimum for spec in specs if spec.minimum is not None]
    return float(step) if all(value % step == 0 for value in (default, *starts)) else None


def _choices(
    wiring: Wiring, candidate: Candidate, kind: InputType
) -> tuple[tuple[str | int | float | bool, ...] | None, ChoicesFrom | None]:
    if candidate.choices:
        return candidate.choices[:_FROZEN_MAX], None
    place = _choosing(wiring, candidate) or candidate.targets[0]
    spec = wiring.spec(place)
    if kind not in ("choice", "model") or spec is None:
        return None, None
    if spec.type == DYNAMIC_COMBO:
        # Another option would bring other fields along, which the graph does not have.
        return tuple(branch.key for branch in spec.branches)[:_FROZEN_MAX] or ("",), None
    return None, ChoicesFrom(node_class=wiring.class_type(place.node_id), field=place.input)


def _default(wiring: Wiring, candidate: Candidate, kind: InputType) -> tuple[Any, bool]:
    """The default, and whether there is none, so that a request must say the value."""
    value = candidate.default if candidate.has_default else wiring.value(candidate.targets[0])
    if kind == "seed":
        return None, False
    if kind in UPLOAD_TYPES:
        has_file = isinstance(value, str) and _is_there(wiring, candidate.targets[0], value)
        return (value, False) if has_file else (None, True)
    if kind == "choice" and candidate.choices and value not in candidate.choices:
        return candidate.choices[0], False
    return _fitting(value, kind), False


def _fitting(value: Any, kind: InputType) -> Any:
    """The value if it is of the type; what a text says as a number is one."""
    if kind in ("text", "longtext"):
        return value if isinstance(value, str) else "" if value is None else str(value)
    if kind == "boolean":
        return bool(value)
    if kind not in ("integer", "number"):
        return value if isinstance(value, str | int | float) else None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return int(value) if kind == "integer" and number.is_integer() else number


def _is_there(wiring: Wiring, place: Place, name: str) -> bool:
    """Whether ComfyUI lists a file; an address, or what was only pasted, is none."""
    if not name.strip() or len(name) > _LABEL_MAX or _ADDRESS.search(name):
        return False
    return name in wiring.catalogue.choices(wiring.class_type(place.node_id), place.input)


def _label(candidate: Candidate) -> str:
    """What the author calls it, else the word for its role, else its name in words."""
    if candidate.label:
        return candidate.label.strip()
    is_plain = candidate.role is not None and candidate.role not in {*SHARED_ROLES, "init_image"}
    if is_plain and not candidate.is_named and candidate.name != "tags":
        role = str(candidate.role)
        return _LABELS.get(role, role.replace("_", " ").capitalize())
    words = candidate.name.replace("_", " ").strip()
    return _LABELS.get(candidate.name) or words[:1].upper() + words[1:]
