"""Similar names: the same model in another folder, format or precision; a slip of the pen."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_NEAR_MAX: Final = 3
_COMPARED_MAX: Final = 2_000
"""The most choices that are compared letter by letter."""
_ENDING: Final = re.compile(
    r"\.(safetensors|sft|ckpt|pth?|bin|gguf|onnx|torchscript|pkl|yaml)$", re.IGNORECASE
)
_PRECISION: Final = re.compile(
    r"[-_. ](fp(4|8|16|32)|bf16|f16|f32|int[48]|q\d[\w]*|k_[ms]|nvfp4|mxfp[48]|e4m3fn|e5m2|scaled"
    r"|mixed|pruned|emaonly|ema|nf4)(?=$|[-_. ])",
    re.IGNORECASE,
)
_SEPARATORS: Final = re.compile(r"[-_. ]+")


def near_models(name: str, choices: Iterable[str]) -> tuple[str, ...]:
    """Choices that are likely the same model, best first."""
    wanted = model_key(name)
    same = [choice for choice in choices if model_key(choice) == wanted]
    if len(same) >= _NEAR_MAX:
        return tuple(same[:_NEAR_MAX])
    keys = {model_key(choice): choice for choice in choices}
    close = difflib.get_close_matches(wanted, list(keys)[:_COMPARED_MAX], _NEAR_MAX, 0.75)
    return tuple(dict.fromkeys([*same, *(keys[key] for key in close)]))[:_NEAR_MAX]


def near_texts(value: str, choices: Iterable[str]) -> tuple[str, ...]:
    """Choices that are written alike, best first."""
    lowered = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(
        value.lower()[:200], list(lowered)[:_COMPARED_MAX], _NEAR_MAX, 0.6
    )
    return tuple(lowered[key] for key in close)


@lru_cache(maxsize=50_000)
def model_key(name: str) -> str:
    """The name of a model without its folder, ending, precision and separators."""
    bare = _ENDING.sub("", base_name(name))
    return _SEPARATORS.sub("", _PRECISION.sub("", bare)).lower() or bare.lower()


def base_name(name: str) -> str:
    """The name without folders, whichever way the slashes lean."""
    return name.replace("\\", "/").rpartition("/")[2]


def is_model_file(name: str) -> bool:
    """Whether it is the name of a model's file."""
    return bool(_ENDING.search(name))
