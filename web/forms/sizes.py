"""Sizes by aspect ratio: about the pixel count the model was trained on, in its steps."""

from __future__ import annotations

import math
from typing import Final

RATIOS: Final = ("1:1", "4:3", "3:2", "16:9", "21:9")
NATIVE: Final = RATIOS[0]
_STEP: Final = 64


def size_of(ratio: str, width: int, height: int, *, swapped: bool) -> tuple[int, int]:
    """Returns the size for ``ratio`` with the pixels of a ``width`` x ``height`` picture."""
    if ratio == NATIVE:
        return width, height
    across, down = (int(part) for part in ratio.split(":"))
    wide = max(_STEP, math.floor(math.sqrt(width * height * across / down) / _STEP) * _STEP)
    high = max(_STEP, round(width * height / wide / _STEP) * _STEP)
    high = min(high, round(wide * down / across / _STEP) * _STEP or _STEP)
    return (high, wide) if swapped else (wide, high)


def ratio_of(width: int, height: int, native: tuple[int, int]) -> tuple[str, bool] | None:
    """Returns the ratio button of this size, and whether it is swapped; None without one."""
    for ratio in RATIOS:
        for swapped in (False, True):
            if size_of(ratio, *native, swapped=swapped) == (width, height):
                return ratio, swapped
    return None
