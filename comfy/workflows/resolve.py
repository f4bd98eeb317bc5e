"""From what was asked to what will be used: every default filled in, every name checked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from comfy.catalogue import Catalogue
from comfy.workflows.families import family_of
from core.problems import FieldProblem
from core.requests import RequestFields, ResolvedRequest, check_pixels, draw_seed
from core.wording import nearest

_T = TypeVar("_T")


class UnresolvableError(ValueError):
    """The request cannot be carried out by this ComfyUI; ``problems`` says why, field by field."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(problem.message for problem in self.problems)


def resolve(
    request: RequestFields,
    catalogue: Catalogue | None,
    default_model: str | None,
    *,
    suggest: bool = True,
) -> ResolvedRequest:
    """Fill in every value the request leaves open and draw its seed.

    The model is the request's, else ``default_model``, else the catalogue's first checkpoint;
    the rest are the defaults of the model's family. Without a catalogue (ComfyUI was never
    reached) names are not checked here; ComfyUI validates them. ``suggest``: an unknown name's
    problem lists near matches, which takes milliseconds where there are hundreds of names.

    Raises UnresolvableError with the codes ``no_model``, ``unknown_model``,
    ``unknown_sampler``, ``unknown_scheduler`` and ``too_many_pixels``.
    """
    model = request.model or default_model or _first(catalogue)
    if model is None:
        raise UnresolvableError((_no_model(catalogue),))
    family = family_of(model)
    known = catalogue or Catalogue()
    resolved = ResolvedRequest(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        workflow=request.workflow,
        model=model,
        width=_given(request.width, family.width),
        height=_given(request.height, family.height),
        steps=_given(request.steps, family.steps),
        cfg=float(_given(request.cfg, family.cfg)),
        sampler=request.sampler or _available(family.sampler, known.samplers),
        scheduler=request.scheduler or _available(family.scheduler, known.schedulers),
        seed=draw_seed() if request.seed is None else request.seed,
        batch_size=request.batch_size,
        priority=request.priority,
        timeout_s=request.timeout_s,
        metadata=request.metadata,
    )
    problems = [*_unknown_names(resolved, catalogue, suggest), *_too_many_pixels(resolved)]
    if problems:
        raise UnresolvableError(tuple(problems))
    return resolved


def _given(value: _T | None, default: _T) -> _T:
    return default if value is None else value


def _first(catalogue: Catalogue | None) -> str | None:
    return catalogue.checkpoints[0] if catalogue and catalogue.checkpoints else None


def _available(preferred: str, names: Sequence[str]) -> str:
    """Returns a family's default, or the first name of a ComfyUI that does not have it."""
    return preferred if preferred in names or not names else names[0]


def _no_model(catalogue: Catalogue | None) -> FieldProblem:
    said = (
        "name a model: ComfyUI has not been reached yet"
        if catalogue is None
        else "ComfyUI has no checkpoint: put one (.safetensors) into its folder models/checkpoints"
    )
    return FieldProblem(("model",), "no_model", said)


def _unknown_names(
    request: ResolvedRequest, catalogue: Catalogue | None, suggest: bool
) -> list[FieldProblem]:
    if catalogue is None:
        return []
    checks = (
        ("model", request.model, catalogue.checkpoints),
        ("sampler", request.sampler, catalogue.samplers),
        ("scheduler", request.scheduler, catalogue.schedulers),
    )
    return [
        FieldProblem((field,), f"unknown_{field}", _unknown(field, name, names, suggest))
        for field, name, names in checks
        if name not in names
    ]


def _unknown(field: str, name: str, names: Sequence[str], suggest: bool) -> str:
    if not suggest:
        return f"ComfyUI has no such {field}"
    return f"ComfyUI has no such {field}; {_near(name, tuple(names), f'{field}s')}"


@lru_cache(maxsize=128)
def _near(name: str, names: tuple[str, ...], what: str) -> str:
    """Returns the names nearest to it. Kept: a misspelt one is likely to be in every row."""
    return nearest(name, names, what)


def _too_many_pixels(request: ResolvedRequest) -> list[FieldProblem]:
    try:
        check_pixels(request.width, request.height, request.batch_size)
    except ValueError as exc:
        return [FieldProblem(("width",), "too_many_pixels", str(exc))]
    return []
