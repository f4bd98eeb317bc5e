"""The sampler: paints the pictures, takes the set time, sends previews, applies faults."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from PIL import Image

from .faults import Faults, Hang
from .ledger import Ledger
from .options import EmulatorOptions
from .pacing import Pacing
from .painting import Recipe, paint
from .previews import Previews
from .sockets import JPEG


class SamplerRun(Protocol):
    """The part of a node's surroundings that sampling needs."""

    @property
    def prompt_id(self) -> str:
        """The prompt that it runs for."""

    @property
    def progress(self) -> Callable[[int, int, bytes | None, int], None]:
        """(value, max, picture or None, image type) -> to the client."""


class Sampling:
    """Runs samplers one at a time, in the worker thread."""

    def __init__(
        self, options: EmulatorOptions, ledger: Ledger, faults: Faults, pacing: Pacing
    ) -> None:
        self._options = options
        self._ledger = ledger
        self._faults = faults
        self._pacing = pacing
        self.previews = options.preview_method != "none"
        """Whether the running prompt gets previews."""

    def load(self, checkpoint: str) -> None:
        """Make `checkpoint` the loaded one; takes `load_time` if it was not."""
        if self._ledger.load(checkpoint):
            self._pacing.sleep(self._options.load_time)

    def sample(
        self,
        run: SamplerRun,
        recipe: Recipe,
        batch_size: int,
        base: Sequence[Image.Image],
        denoise: float,
    ) -> list[Image.Image]:
        """Paint a batch. The first step's time includes the painting.

        `base` are pictures to start from; `denoise` 1 paints them over, 0 keeps them.
        """
        self.load(recipe.model.split("/")[0])
        self._ledger.rendered(run.prompt_id)
        start = time.monotonic()
        epoch = self._faults.epoch  # from here on a release counts, even before the hang
        hang = self._faults.hang_for()
        pictures = [self._picture(recipe, index, base, denoise) for index in range(batch_size)]
        previews = Previews(pictures[0], recipe.steps) if self.previews else None
        for step in range(1, recipe.steps + 1):
            frame = previews.at(step) if previews else None
            if hang is not None and hang.step == step:
                self._hang(hang, epoch)
            self._pacing.wait_until(start + step * self._step_time(recipe.steps))
            run.progress(step, recipe.steps, frame, JPEG)
        return pictures

    def _step_time(self, steps: int) -> float:
        whole = self._options.render_time
        return self._options.step_time if whole is None else whole / steps

    def _picture(
        self, recipe: Recipe, index: int, base: Sequence[Image.Image], denoise: float
    ) -> Image.Image:
        self._pacing.check()
        if not base:
            return paint(recipe, index)
        before = base[index % len(base)]
        if denoise <= 0:
            return before
        return Image.blend(before, paint(recipe, index), denoise)

    def _hang(self, hang: Hang, epoch: int) -> None:
        self._faults.hanging = True
        try:
            self._pacing.wait_while(
                lambda: self._faults.epoch == epoch,
                hang.seconds,
                interruptible=hang.interruptible,
            )
        finally:
            self._faults.hanging = False
