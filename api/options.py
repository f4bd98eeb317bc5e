"""What requests can choose: models, samplers, schedulers, defaults and limits."""

from __future__ import annotations

from functools import lru_cache

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from api.documents import Document, answer
from api.errors import ProblemError
from api.generations.facade import Facade, FacadeOf
from api.openapi import problems
from comfy import Catalogue
from comfy.workflows import family_of
from core import fields
from core.requests import TIMEOUT_MAX_S
from core.workflows import limits

router = APIRouter(prefix="/api/v1", tags=["options"])


class DefaultsDocument(Document):
    """What a request that leaves these out gets with a model."""

    width: int
    height: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str


class ModelDocument(Document):
    """A checkpoint."""

    name: str = Field(description="What `model` takes.")
    family: str
    defaults: DefaultsDocument


class ModelsDocument(Document):
    """What ComfyUI has."""

    checkpoints: list[ModelDocument]
    loras: list[str]
    vaes: list[str]
    upscalers: list[str]
    embeddings: list[str] = Field(description="What a prompt may contain as `embedding:NAME`.")
    default: str | None = Field(description="The checkpoint of requests that name none.")


class LimitsDocument(Document):
    """What a request may ask for at most."""

    size_min: int = limits.SIZE_MIN
    size_max: int = limits.SIZE_MAX
    size_step: int = limits.SIZE_STEP
    pixels_max: int = limits.PIXELS_MAX
    steps_max: int = limits.STEPS_MAX
    cfg_max: float = limits.CFG_MAX
    batch_size_max: int = limits.BATCH_SIZE_MAX
    prompt_max: int = fields.PROMPT_MAX
    seed_max: int = fields.SEED_MAX
    timeout_max_s: int = TIMEOUT_MAX_S


class OptionsDocument(Document):
    """Everything a form needs."""

    models: list[ModelDocument]
    default_model: str | None
    samplers: list[str]
    schedulers: list[str]
    limits: LimitsDocument


@router.get(
    "/models",
    summary="Models that ComfyUI has",
    response_model=ModelsDocument,
    responses=problems("no_catalogue", "not_available"),
)
async def models(facade: FacadeOf) -> Response:
    """From ComfyUI's own node catalogue. New files show within a minute, or when asked for."""
    catalogue = await _catalogue(facade)
    return answer(
        ModelsDocument(
            checkpoints=_models(catalogue),
            loras=list(catalogue.loras),
            vaes=list(catalogue.vaes),
            upscalers=list(catalogue.upscalers),
            embeddings=list(catalogue.embeddings),
            default=facade.default_model(catalogue),
        )
    )


@router.get(
    "/options",
    summary="Everything a form needs",
    response_model=OptionsDocument,
    responses=problems("no_catalogue", "not_available"),
)
async def options(facade: FacadeOf) -> Response:
    """Models with their defaults, samplers, schedulers, limits."""
    return answer(await read_options(facade))


async def read_options(facade: Facade) -> OptionsDocument:
    """Returns the options, for routes and pages. ProblemError when ComfyUI was never reached."""
    catalogue = await _catalogue(facade)
    return OptionsDocument(
        models=_models(catalogue),
        default_model=facade.default_model(catalogue),
        samplers=list(catalogue.samplers),
        schedulers=list(catalogue.schedulers),
        limits=LimitsDocument(),
    )


async def _catalogue(facade: Facade) -> Catalogue:
    catalogue = facade.catalogue.current or await facade.catalogue.refreshed()
    if catalogue is None:
        raise ProblemError(
            "no_catalogue",
            "ComfyUI has not been reached yet, so nothing is known of its models.",
            headers={"Retry-After": "5"},
        )
    return catalogue


def _models(catalogue: Catalogue) -> list[ModelDocument]:
    return list(_models_named(catalogue.checkpoints))


@lru_cache(maxsize=1)
def _models_named(names: tuple[str, ...]) -> tuple[ModelDocument, ...]:
    """Every page reads them, and they are the same until ComfyUI's catalogue changes."""
    return tuple(_model(name) for name in names)


def _model(name: str) -> ModelDocument:
    family = family_of(name)
    return ModelDocument(
        name=name,
        family=family.name,
        defaults=DefaultsDocument(
            width=family.width,
            height=family.height,
            steps=family.steps,
            cfg=family.cfg,
            sampler=family.sampler,
            scheduler=family.scheduler,
        ),
    )
