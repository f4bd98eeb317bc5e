"""The form of the studio, and earlier prompts."""

from __future__ import annotations

from typing import Final, Literal

from api.options import DefaultsDocument
from core.requests import GenerationRequest, ResolvedRequest, later_seed
from web.forms.kept_draft import KeptDraft, storage
from web.forms.sizes import NATIVE, ratio_of, size_of

SeedMode = Literal["random", "keep", "next"]
PROMPTS_KEPT: Final = 50


class Draft(KeptDraft):
    """The form's values. None means the model's own default."""

    KEY = "draft"

    prompt: str = ""
    negative: str = ""
    model: str | None = None
    ratio: str | None = NATIVE
    swapped: bool = False
    width: int | None = None
    height: int | None = None
    count: int = 1
    steps: int | None = None
    cfg: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    seed_mode: SeedMode = "random"
    seed: int | None = None
    negative_open: bool = False
    advanced_open: bool = False

    def size(self, native: DefaultsDocument | None) -> tuple[int, int] | None:
        """Returns width and height of the request; None leaves them to the model."""
        if self.ratio is None:
            return (self.width, self.height) if self.width and self.height else None
        if native is None:
            return None
        return size_of(self.ratio, native.width, native.height, swapped=self.swapped)

    def request(self, native: DefaultsDocument | None) -> GenerationRequest:
        """Returns the request. Raises pydantic's ValidationError."""
        width, height = self.size(native) or (None, None)
        return GenerationRequest(
            prompt=self.prompt,
            negative_prompt=self.negative,
            model=self.model,
            width=width,
            height=height,
            steps=self.steps,
            cfg=self.cfg,
            sampler=self.sampler,
            scheduler=self.scheduler,
            seed=None if self.seed_mode == "random" else self.seed,
            batch_size=self.count,
        )

    def after(self, seed: int) -> None:
        """Remember the seed that was used; "+1" continues from it. -1 stays, and draws again."""
        if self.seed_mode == "keep" and self.seed == -1:
            return
        self.seed = later_seed(seed, 1) if self.seed_mode == "next" else seed

    def use(self, request: ResolvedRequest, native: DefaultsDocument | None) -> None:
        """Take over all settings of a generation."""
        self.prompt, self.negative = request.prompt, request.negative_prompt
        self.model, self.count = request.model, request.batch_size
        self.steps, self.cfg = request.steps, request.cfg
        self.sampler, self.scheduler = request.sampler, request.scheduler
        self.width, self.height = request.width, request.height
        size = (native.width, native.height) if native else (request.width, request.height)
        found = ratio_of(request.width, request.height, size) if native else None
        self.ratio, self.swapped = found or (None, False)
        self.negative_open = bool(request.negative_prompt)
        self.use_seed(request)

    def use_seed(self, request: ResolvedRequest) -> None:
        """Take over the seed alone."""
        self.seed, self.seed_mode, self.advanced_open = request.seed, "keep", True


def prompts() -> list[str]:
    """Returns earlier prompts, newest first."""
    kept: list[str] = list(storage().get("prompts", []))
    return kept


def remember(prompt: str) -> None:
    """Put a prompt on top of the earlier ones."""
    others = [earlier for earlier in prompts() if earlier != prompt]
    storage()["prompts"] = [prompt, *others][:PROMPTS_KEPT]
