"""The documents of model files that clients read, and what they send to say more of one."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from api.documents import Document
from comfy.catalogue import NAME_MAX
from comfy.families.family import Family
from comfy.families.models import Reason, Trait
from comfy.families.table import FAMILIES, title_of

ENCODERS_MAX: Final = 4
"""ComfyUI's loader for the most text encoders has so many."""
_FileName = Annotated[str, Field(min_length=1, max_length=NAME_MAX)]


class DefaultsDocument(Document):
    """What a request that leaves these out gets with a model."""

    width: int
    height: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str


class ModelDocument(Document):
    """A checkpoint or a diffusion model."""

    name: str = Field(description="What `model` takes.")
    folder: str = Field(description="`checkpoints` or `diffusion_models`.")
    family: str | None = Field(description="Null while it is not known: say it with `PUT`.")
    family_title: str | None
    defaults: DefaultsDocument | None = Field(description="Null while its family is not known.")


class ModelSetting(BaseModel):
    """What the owner says of a file. What is left out or null is not said any more."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"family": "sdxl", "text_encoders": None, "vae": "sdxl_vae.safetensors"}]
        },
    )

    family: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="What the file is, in place of what Easel found out. Of LoRAs and ControlNets "
        "the base: `flux1` fits all of Flux.1.",
    )
    text_encoders: (
        Annotated[list[_FileName], Field(min_length=1, max_length=ENCODERS_MAX)] | None
    ) = Field(default=None, description="The files to load beside a model, in place of its own.")
    vae: _FileName | None = Field(default=None, description="The VAE to load beside a model.")


class SettingDocument(Document):
    """What the owner says of a file; null is no word."""

    family: str | None
    text_encoders: list[str] | None
    vae: str | None


class ModelFileDocument(Document):
    """A file of one of ComfyUI's model folders."""

    folder: str
    name: str = Field(description="As requests name it; in subfolders `folder/name`.")
    family: str | None = Field(
        description="What it is; of LoRAs and ControlNets what they fit. Null while not known."
    )
    family_title: str | None
    reason: Reason = Field(
        description="How that is known: the owner's `setting`, the `header` of the file, its "
        "`metadata`, its `name`; or it is `unknown`."
    )
    detail: str = Field(description="The same for people.")
    traits: list[Trait]
    trigger_words: list[str] = Field(description="What a LoRA was trained with.")
    workers: list[str] = Field(description="The live workers whose ComfyUI has it.")
    defaults: DefaultsDocument | None = Field(
        description="What `model` takes only: the values that suit it."
    )
    setting: SettingDocument | None


class ModelsDocument(Document):
    """What ComfyUI has."""

    checkpoints: list[ModelDocument]
    loras: list[str]
    vaes: list[str]
    upscalers: list[str]
    embeddings: list[str] = Field(description="What a prompt may contain as `embedding:NAME`.")
    default: str | None = Field(description="The model of requests that name none.")
    models: list[ModelFileDocument] = Field(description="The files of every folder.")


def defaults_of(family: str | None) -> DefaultsDocument | None:
    """Returns the values that suit a family, None for one that makes no pictures."""
    found = FAMILIES.get(family or "")
    return None if found is None else _defaults(found)


def _defaults(family: Family) -> DefaultsDocument:
    of = family.defaults
    return DefaultsDocument(
        width=of.width,
        height=of.height,
        steps=of.steps,
        cfg=of.cfg,
        sampler=of.sampler,
        scheduler=of.scheduler,
    )


def titled(family: str | None) -> str | None:
    """Returns what people call a family or a base."""
    return None if family is None else title_of(family) or family
