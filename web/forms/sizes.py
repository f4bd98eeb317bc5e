"""Sizes by aspect ratio: about the pixel count that the model was trained on."""

from __future__ import annotations

import functools
import math
from typing import Final

NATIVE: Final = "1:1"
RATIOS: Final[dict[str, str]] = {
    "1:1": "Square",
    "4:3": "Landscape",
    "3:2": "Landscape",
    "16:9": "Wide",
    "21:9": "Extra wide",
    "3:4": "Portrait",
    "2:3": "Portrait",
    "9:16": "Tall",
    "9:21": "Extra tall",
}
"""Their names. Those of landscapes come first, then those of portraits, in the same order."""
_STEP: Final = 16
_AROUND: Final = 16
"""How many steps from the ideal width a better shape is looked for: farther off, none is."""
SIDE_MAX: Final = 16_384
"""The longest side, in pixels, that a button sets: ComfyUI's own nodes take no longer one."""
_ALIKE: Final = 0.04
"""How far two ratios may be apart, as a logarithm, to be taken for the same."""
_TRAINED: Final = {
    (1024, 1024): {
        "4:3": (1152, 896),
        "3:2": (1216, 832),
        "16:9": (1344, 768),
        "21:9": (1536, 640),
    }
}
"""The sizes that SDXL was trained on: it does better with them than with the exact ratio."""


def size_of(ratio: str, width: int, height: int) -> tuple[int, int]:
    """Returns the size for ``ratio`` with about the pixels of a ``width`` x ``height`` image."""
    if ratio == NATIVE:
        return width, height
    across, down = parts_of(ratio)
    if across < down:
        high, wide = size_of(f"{down}:{across}", width, height)
        return wide, high
    return _TRAINED.get((width, height), {}).get(ratio) or _nearest(across / down, width * height)


def sizes_near(width: int, height: int, step: int = _STEP) -> dict[str, tuple[int, int]]:
    """Returns the size of each ratio for a workflow that begins with ``width`` x ``height``.

    About as many pixels, in steps of ``step``. The ratio that its own size is nearest to gives
    that very size: other ratios' sizes are reckoned, this one was chosen by its author.
    """
    found = {}
    for ratio in RATIOS:
        across, down = parts_of(ratio)
        shape = across / down
        if abs(math.log(width / height / shape)) < _ALIKE:
            found[ratio] = (width, height)
        elif abs(math.log(height / width / shape)) < _ALIKE:
            found[ratio] = (height, width)
        else:
            found[ratio] = _nearest(shape, width * height, step)
    return found


def parts_of(ratio: str) -> tuple[int, int]:
    """Returns the two numbers of a ratio."""
    across, down = (int(part) for part in ratio.split(":"))
    return across, down


def ratio_of(width: int, height: int, native: tuple[int, int]) -> str | None:
    """Returns the ratio whose button gives this size; None without one."""
    return next((ratio for ratio in RATIOS if size_of(ratio, *native) == (width, height)), None)


@functools.lru_cache(maxsize=1_000)
def _nearest(ratio: float, pixels: int, step: int = _STEP) -> tuple[int, int]:
    """Returns the sides, in steps, that are nearest to a ratio and to a number of pixels.

    The ratio counts most: what is seen is a wrong shape, not some pixels more or less.
    """

    def wrong(size: tuple[int, int]) -> float:
        wide, high = size
        return 4 * abs(math.log(wide / high / ratio)) + abs(math.log(wide * high / pixels))

    ideal = math.sqrt(pixels * ratio) / step
    numbers = range(max(1, math.floor(ideal) - _AROUND), math.ceil(ideal) + 3)
    sizes = [
        (step * number, max(step, step * rounded(number / ratio)))
        for number in numbers
        for rounded in (math.floor, math.ceil)
    ]
    return min(sizes, key=wrong)
