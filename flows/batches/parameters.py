"""Bounds and defaults of the bulk flow's parameters, for the forms and documents that name them."""

from __future__ import annotations

from typing import Final

CATCH_UP_MINUTES: Final = 60
"""Maximum delay of a scheduled run, unless its parameters say otherwise."""
WEEK_MINUTES: Final = 7 * 24 * 60
