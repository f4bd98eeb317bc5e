"""Bounds and defaults of the bulk flow's parameters, for whoever writes them down."""

from __future__ import annotations

from typing import Final

CATCH_UP_MINUTES: Final = 60
"""How late a scheduled run may begin at most, unless its parameters say otherwise."""
WEEK_MINUTES: Final = 7 * 24 * 60
