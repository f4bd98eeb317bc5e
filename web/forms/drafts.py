"""The form of the studio, and earlier prompts."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from api.models.documents import DefaultsDocument
from core.fields import later_seed
from core.requests import GenerationRequest, ResolvedRequest, read_request_of
from core.workflows.declaration import Workflow
from web.forms.kept_draft import KeptDraft, storage
from web.forms.sizes import NATIVE, RATIOS, ratio_of, size_of

SeedMode = Literal["random", "keep", "next"]
OWN: Final = frozenset(
    {
        *("prompt", "negative_prompt", "model", "width", "height", "batch_size"),
        *("steps", "cfg", "sampler", "scheduler", "seed"),
    }
)
"""The inputs of text to image that the form shows in its own way."""
PROMPTS_KEPT: Final = 50
DRAW_SEED: Final = -1
"""What a seed that is drawn is written as, here and elsewhere."""


class Draft(KeptDraft):
    """The form's values. None means the model's own default.

    Numbers are kept as they were typed, be they possible or not: only the request is checked.
    ``more`` are the values of inputs that have no field of their own here.
    """

    KEY = "draft"

    prompt: str = ""
    negative: str = ""
    model: str | None = None
    ratio: str | None = NATIVE
    width: int | float | None = None
    height: int | float | None = None
    count: int = 1
    steps: int | float | None = None
    cfg: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    seed_mode: SeedMode = "random"
    seed: int | float | None = None
    advanced_open: bool = False
    more: dict[str, Any] = Field(default_factory=dict)

    def size(
        self, native: DefaultsDocument | None
    ) -> tuple[int | float | None, int | float | None]:
        """Returns width and height of the request; None leaves one to the model."""
        if self.ratio is None:
            return self.width, self.height
        if native is None or self.ratio not in RATIOS:
            return None, None
        return size_of(self.ratio, native.width, native.height)

    def resize(
        self, width: int | float | None, height: int | float | None, native: DefaultsDocument | None
    ) -> None:
        """Set the sides, as a ratio if a button gives the same."""
        found = None
        if native is not None and isinstance(width, int) and isinstance(height, int):
            found = ratio_of(width, height, (native.width, native.height))
        self.change(ratio=found, width=width, height=height)

    def request(self, native: DefaultsDocument | None, workflow: Workflow) -> GenerationRequest:
        """Returns the request for the workflow. Raises pydantic's ValidationError."""
        return read_request_of(
            GenerationRequest, {**self._more_of(workflow), **self.own(native)}, workflow
        )

    def _more_of(self, workflow: Workflow) -> dict[str, Any]:
        """Returns the other values that the workflow has an input for, if they say anything."""
        known = {name: self.more[name] for name in self.more if name in workflow.by_name}
        return {
            name: value for name, value in known.items() if value != workflow.by_name[name].default
        }

    def own(self, native: DefaultsDocument | None) -> dict[str, Any]:
        """Returns the values of the inputs that the form shows in its own way."""
        width, height = self.size(native)
        return {
            "prompt": self.prompt,
            "negative_prompt": self.negative,
            "model": self.model,
            "width": width,
            "height": height,
            "steps": self.steps,
            "cfg": self.cfg,
            "sampler": self.sampler,
            "scheduler": self.scheduler,
            "seed": None if self._is_drawn else self.seed,
            "batch_size": self.count,
        }

    @property
    def _is_drawn(self) -> bool:
        return self.seed_mode == "random" or self.seed == DRAW_SEED

    def after(self, seed: int) -> None:
        """Remember the seed that was used; "+1" continues from it. -1 stays, and draws again."""
        if self.seed_mode == "keep" and self.seed == -1:
            return
        self.seed = later_seed(seed, 1) if self.seed_mode == "next" else seed

    def use(self, request: ResolvedRequest, native: DefaultsDocument | None) -> None:
        """Take over all settings of a generation; the model's own stay those of the model."""
        self.prompt, self.negative = request.prompt, request.negative_prompt
        self.model, self.count = request.model, request.batch_size
        self.steps, self.cfg = request.steps, request.cfg
        self.sampler, self.scheduler = request.sampler, request.scheduler
        if native is not None:
            self._leave_to(native)
        given = request.inputs.items()
        self.more = {name: one for name, one in given if name not in OWN and one is not None}
        self.width, self.height = request.size or (None, None)
        native_size = (native.width, native.height) if native else None
        self.ratio = ratio_of(*request.size, native_size) if native_size and request.size else None
        self.use_seed(request)

    def _leave_to(self, native: DefaultsDocument) -> None:
        """Leave what the model has by itself to it: another model has its own."""
        self.steps = None if self.steps == native.steps else self.steps
        self.cfg = None if self.cfg == native.cfg else self.cfg
        self.sampler = None if self.sampler == native.sampler else self.sampler
        self.scheduler = None if self.scheduler == native.scheduler else self.scheduler

    def use_seed(self, request: ResolvedRequest) -> None:
        """Take over the seed alone."""
        self.seed, self.seed_mode, self.advanced_open = request.seed, "keep", True


def keep_replaced(draft: Draft) -> None:
    """Note what another page replaces in the studio's form, its prompt among the earlier ones."""
    remember(draft.prompt)
    draft.keep_replaced()


def prompts() -> list[str]:
    """Returns earlier prompts, newest first."""
    kept: list[str] = list(storage().get("prompts", []))
    return kept


def remember(prompt: str) -> None:
    """Put a prompt on top of the earlier ones; a blank one is none."""
    if not prompt.strip():
        return
    others = [earlier for earlier in prompts() if earlier != prompt]
    storage()["prompts"] = [prompt, *others][:PROMPTS_KEPT]
