"""Sizes by aspect ratio: about as many pixels as the model learnt on, in steps it likes."""

from __future__ import annotations

import math
from typing import Final

RATIOS: Final = ("1:1", "4:3", "3:2", "16:9", "21:9")
NATIVE: Final = RATIOS[0]
_STEP: Final = 64


def size_of(ratio: str, width: int, height: int, *, swapped: bool) -> tuple[int, int]:
    """Width and height for ``ratio`` with the pixels of a ``width`` x ``height`` picture."""
    if ratio == NATIVE:
        return width, height
    across, down = (int(part) for part in ratio.split(":"))
    wide = max(_STEP, math.floor(math.sqrt(width * height * across / down) / _STEP) * _STEP)
    high = max(_STEP, round(width * height / wide / _STEP) * _STEP)
    high = min(high, round(wide * down / across / _STEP) * _STEP or _STEP)
    return (high, wide) if swapped else (wide, high)


def ratio_of(width: int, height: int, native: tuple[int, int]) -> tuple[str, bool] | None:
    """The ratio button that gives this size, and whether it is swapped; None when none does."""
    for ratio in RATIOS:
        for swapped in (False, True):
            if size_of(ratio, *native, swapped=swapped) == (width, height):
                return ratio, swapped
    return None
