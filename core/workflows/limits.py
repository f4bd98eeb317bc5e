"""Limits of pictures: what the built-in workflows declare, and what holds for every workflow."""

from __future__ import annotations

from typing import Final

SIZE_STEP: Final = 8
SIZE_MIN: Final = 64
SIZE_MAX: Final = 4096
PIXELS_MAX: Final = 4096 * 4096 * 2
"""The most pixels of one generation: width x height x batch_size."""
STEPS_MAX: Final = 150
CFG_MAX: Final = 30.0
BATCH_SIZE_MAX: Final = 16


def check_pixels(width: int, height: int, batch_size: int) -> None:
    """Raises ValueError when a generation has more pixels than allowed."""
    if width * height * batch_size > PIXELS_MAX:
        raise ValueError(
            f"width x height x batch_size must not exceed {PIXELS_MAX} pixels; "
            "ask for a smaller size or fewer images"
        )
