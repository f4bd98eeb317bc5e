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

MOST_PAINTED = 8
"""Pictures of one batch that are painted onto others."""


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
        checkpoint: str | None,
    ) -> list[Image.Image]:
        """Paint a batch. The first step's time includes the painting.

        `base` are pictures to start from; `denoise` 1 paints them over, 0 keeps them. `checkpoint`
        is the model, None if it is not known.
        """
        if checkpoint is not None:
            self.load(checkpoint)
        self._ledger.rendered(run.prompt_id)
        start = time.monotonic()
        epoch = self._faults.epoch  # from here on a release counts, even before the hang
        hang = self._faults.hang_for()
        pictures = self._pictures(recipe, batch_size, base, denoise)
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

    def _pictures(
        self, recipe: Recipe, batch_size: int, base: Sequence[Image.Image], denoise: float
    ) -> list[Image.Image]:
        if base and denoise <= 0:
            return [base[index % len(base)] for index in range(batch_size)]
        # The frames of a video need not all be painted: they are blended with what was there.
        differ = min(batch_size, MOST_PAINTED) if base else batch_size
        painted = []
        for index in range(differ):
            self._pacing.check()
            painted.append(paint(recipe, index))
        if not base:
            return painted
        blended: dict[tuple[int, int], Image.Image] = {}
        pairs = [(index % len(base), index % differ) for index in range(batch_size)]
        for pair in set(pairs):
            before = _fitting(base[pair[0]], recipe)
            blended[pair] = Image.blend(before, painted[pair[1]], denoise)
        return [blended[pair] for pair in pairs]

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


def _fitting(picture: Image.Image, recipe: Recipe) -> Image.Image:
    size = (recipe.width, recipe.height)
    rgb = picture.convert("RGB")
    return rgb if rgb.size == size else rgb.resize(size)
