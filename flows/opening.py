"""What fetches the outputs of a prompt."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from comfy import FetchedFile, FetchedImage, OutputFile


class Opener(Protocol):
    """What is needed of ComfyUI; implemented and documented by ``comfy.ComfySession``."""

    def open(
        self, file: OutputFile, pixels: int
    ) -> AbstractAsyncContextManager[FetchedImage | FetchedFile]:
        """Fetch a finished file: a picture whole and verified, any other in chunks."""
        ...
