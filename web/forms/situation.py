"""What the fields of a form go by besides their own values: the chosen model, the other inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from api.models.families import Family
from api.workflows.left_open import HIRES_DENOISE, denoise_of
from core.wording import figure
from core.workflows.declaration import Input, Workflow
from web.forms.known_models import KnownModels, draws
from web.forms.labels import input_at
from web.forms.wording import LEFT_OPEN, NO_UPSCALER

_UPSCALERS: Final = "upscale_models"


@dataclass(frozen=True)
class Situation:
    """A form as it stands. ``values`` are those that were entered, by the inputs' names.

    ``models`` is None for workflows whose graph is not made for a family, and while nothing is
    known of any file.
    """

    workflow: Workflow
    values: Mapping[str, Any] = field(default_factory=dict)
    models: KnownModels | None = None

    @property
    def model(self) -> str | None:
        """The file name of the model that draws, None where nothing is known of models."""
        if self.models is None:
            return None
        one = model_input(self.workflow)
        chosen = self.values.get(one.name) if one is not None else None
        return str(chosen) if chosen else self.models.default

    @property
    def family(self) -> Family | None:
        """The family of that model, None where it is not known."""
        return None if self.models is None else self.models.family_of(self.model)

    def default_of(self, path: str) -> str | int | float | None:
        """Returns what a request gets that leaves this input open, None where it is not known."""
        family = self.family
        rule = _DEFAULTS.get(path)
        if path in ("width", "height") and self._takes_a_size:
            return _AS_PICTURE
        return None if family is None or rule is None else rule(self, family)

    def left_open(self, path: str) -> str | None:
        """Returns in words what is used where this input is left open, None where not known."""
        own = self.default_of(path)
        if own is not None or self.models is None:
            return figure(own) if isinstance(own, int | float) else own
        one = input_at(self.workflow, path)
        if one is not None and one.folder == _UPSCALERS:
            return self.models.upscaler or NO_UPSCALER
        return LEFT_OPEN.get(_anywhere(path))

    @property
    def _takes_a_size(self) -> bool:
        """Whether the size is that of an image that it starts from."""
        if self.models is None:
            return False
        named = {"init_image", "reference_images"} & self.workflow.by_name.keys()
        if self.workflow.name == "txt2img":
            return self.values.get("init_image") is not None
        return bool(named)

    def unheard(self, path: str) -> str:
        """Returns why an input changes nothing as the form stands; an empty text if it does."""
        if self.models is None:
            return ""
        rule = _UNHEARD.get(_anywhere(path))
        if self.workflow.name == "upscale" and path in _OF_DETAIL and not self.values.get("detail"):
            return "With detail 0 nothing is drawn anew."
        return "" if rule is None else rule(self)

    def value(self, name: str) -> Any:
        """Returns an input's value: the one that was entered, the family's, the declared one."""
        if self.values.get(name) is not None:
            return self.values[name]
        own = self.default_of(name)
        one = self.workflow.by_name.get(name)
        return own if own is not None or one is None else one.default


def model_input(workflow: Workflow) -> Input | None:
    """Returns the input that takes the model that draws."""
    return next((one for one in workflow.inputs if draws(one)), None)


def _anywhere(path: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in path.split("."))


_AS_PICTURE: Final = "as the image"


def _denoise(form: Situation, family: Family) -> float:
    needed = {one.name for one in form.workflow.inputs if one.required}
    return denoise_of({name for name, value in form.values.items() if value} | needed, family)


def _hires_denoise(form: Situation, _family: Family) -> float | None:
    return HIRES_DENOISE.get(_inside(form, "hires", "method") or "")


_DEFAULTS: Final[Mapping[str, Callable[[Situation, Family], str | int | float | None]]] = (
    MappingProxyType(
        {
            "width": lambda _form, family: family.defaults.width,
            "height": lambda _form, family: family.defaults.height,
            "steps": lambda _form, family: family.defaults.steps,
            "cfg": lambda _form, family: family.defaults.cfg,
            "guidance": lambda _form, family: family.defaults.guidance,
            "sampler": lambda _form, family: family.defaults.sampler,
            "scheduler": lambda _form, family: family.defaults.scheduler,
            "denoise": _denoise,
            "hires.steps": lambda form, _family: form.value("steps"),
            "hires.denoise": _hires_denoise,
        }
    )
)
"""What a family's models get where a request leaves it open, by the inputs' paths."""
_OF_DETAIL: Final = frozenset({"prompt", "detail_model", "steps", "seed", "loras"})


def _negative(form: Situation) -> str:
    is_one = form.value("cfg") == 1
    return "It has no effect at CFG 1." if is_one else ""


def _by_family(hears: Callable[[Family], bool], said: str) -> Callable[[Situation], str]:
    def rule(form: Situation) -> str:
        family = form.family
        return "" if family is None or hears(family) else said.format(family.title)

    return rule


def _hires_model(form: Situation) -> str:
    is_latent = _inside(form, "hires", "method") == "latent"
    return "Only used when it is enlarged by an upscale model." if is_latent else ""


def _padding(form: Situation) -> str:
    is_whole = form.value("mask_area") != "masked"
    return "Only used when the masked part alone is drawn." if is_whole else ""


def _inside(form: Situation, group: str, name: str) -> Any:
    known = form.values.get(group)
    return known.get(name) if isinstance(known, Mapping) else None


_UNHEARD: Final[Mapping[str, Callable[[Situation], str]]] = MappingProxyType(
    {
        "negative_prompt": _negative,
        "guidance": _by_family(
            lambda family: family.defaults.guidance is not None,
            "{} models have no guidance: CFG does it.",
        ),
        "clip_skip": _by_family(
            lambda family: family.has_clip_skip,
            "{} models have no clip skip: only SD 1.5 and SDXL do.",
        ),
        "refiner": _by_family(
            lambda family: family.base == "sdxl", "{} models have no refiner: only SDXL does."
        ),
        "scheduler": _by_family(
            lambda family: family.chain == "ksampler", "{} models have a schedule of their own."
        ),
        "controls": _by_family(
            lambda family: family.has_controls or family.control_patch is not None,
            "Easel knows no ControlNets for {} models.",
        ),
        "loras.*.strength_clip": _by_family(
            lambda family: family.lora_reaches_encoder,
            "{} models take it for the model alone.",
        ),
        "reference_images": _by_family(
            lambda family: family.edit is not None,
            "{} models take no reference images: choose one that edits, such as Flux.1 Kontext "
            "or Qwen-Image-Edit.",
        ),
        "hires.model": _hires_model,
        "mask_padding": _padding,
    }
)
"""When an input changes nothing, by its path, and why."""
