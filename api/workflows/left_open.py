"""What requests of Easel's own workflows get where they leave an input open, for forms to show."""

from __future__ import annotations

from comfy.workflows.builtin.resolving import denoise_of
from comfy.workflows.builtin.second_pass import HIRES_DENOISE

__all__ = ["HIRES_DENOISE", "denoise_of"]
