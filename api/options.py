"""What requests can choose: models, samplers, schedulers, defaults and limits."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from api.documents import Document, answer
from api.generations.facade import Facade, FacadeOf
from api.models.documents import ModelDocument
from api.models.facade import catalogue_of
from api.models.offered import offered
from api.openapi import problems
from core import fields
from core.requests import TIMEOUT_MAX_S
from core.workflows import limits

router = APIRouter(prefix="/api/v1", tags=["options"])


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
    "/options",
    summary="Everything a form needs",
    response_model=OptionsDocument,
    responses=problems("no_catalogue", "not_available"),
)
async def options(facade: FacadeOf) -> Response:
    """Models with their families and defaults, samplers, schedulers, limits."""
    return answer(await read_options(facade))


async def read_options(facade: Facade) -> OptionsDocument:
    """Returns the options, for routes and pages. ProblemError when ComfyUI was never reached."""
    catalogue = await catalogue_of(facade)
    return OptionsDocument(
        models=offered(catalogue, facade.models.current),
        default_model=facade.default_model,
        samplers=list(catalogue.samplers),
        schedulers=list(catalogue.schedulers),
        limits=LimitsDocument(),
    )
