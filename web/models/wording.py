"""The texts of the page of model files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from api.models.beside import Beside
from api.models.choices import FAMILY_FOLDERS
from api.models.documents import ModelFileDocument
from core.workflows.declaration import Workflow
from web.forms.labels import labelled
from web.parts.wording import sentence

FOLDER_WORDS: Final[Mapping[str, str]] = {
    "checkpoints": "Checkpoints",
    "diffusion_models": "Diffusion models",
    "text_encoders": "Text encoders",
    "vae": "VAEs",
    "loras": "LoRAs",
    "controlnet": "ControlNets",
    "model_patches": "Model patches",
    "upscale_models": "Upscale models",
    "embeddings": "Embeddings",
}
"""What ComfyUI's model folders are called, in the order in which they are shown."""
TRAIT_WORDS: Final[Mapping[str, str]] = {
    "inpaint": "inpaint model",
    "v_prediction": "v-prediction",
    "zero_terminal_snr": "zero terminal SNR",
    "union": "several kinds of control",
    "few_steps": "few steps",
    "refiner": "refiner",
    "without_encoder": "without text encoder",
    "without_vae": "without VAE",
}
UNKNOWN: Final = "Unknown"
OTHER: Final = "Other kind"
"""A file that is known as nothing that Easel makes images with by itself."""
NO_MODELS: Final = (
    "Put a model (.safetensors) into models/checkpoints or models/diffusion_models in ComfyUI's "
    "folder; LoRAs belong into models/loras. It shows here a minute later, or after “Look again”."
)
NOTHING_DRAWS: Final = (
    "None of these files is a model for images. Put one (.safetensors) into "
    "models/checkpoints or models/diffusion_models in ComfyUI's folder."
)
NOT_REACHED: Final = (
    "Start ComfyUI, or set where it is (EASEL_COMFY__URL), then try again. Its model files are "
    "listed here as soon as it was reached once."
)
_SHOWN: Final = 240


def is_unknown(one: ModelFileDocument) -> bool:
    """Returns whether the owner should say what a file is: nothing tells it."""
    return one.folder in FAMILY_FOLDERS and one.family is None and one.reason == "unknown"


def family_words(one: ModelFileDocument) -> str:
    """Returns what a file is, in few words; nothing where families mean nothing."""
    if one.family_title is not None:
        return one.family_title
    return UNKNOWN if is_unknown(one) else OTHER


def how_known(one: ModelFileDocument) -> str:
    """Returns how it is known what a file is, as a sentence."""
    if one.reason == "setting":
        return "You said so."
    if not one.detail:
        return "Neither its header nor its name tells what it is."
    detail = one.detail if len(one.detail) <= _SHOWN else f"{one.detail[: _SHOWN - 1]}…"
    is_how = one.family is not None and not detail.startswith("a guess")
    return sentence(f"by {detail}" if is_how else detail)


def trait_words(one: ModelFileDocument) -> str:
    """Returns what it is besides its family."""
    return ", ".join(TRAIT_WORDS.get(trait, trait) for trait in one.traits)


def worker_words(one: ModelFileDocument, live: int) -> str:
    """Returns who has it, of so many ``live`` workers."""
    if one.workers:
        return f"On {', '.join(one.workers)}"
    return "On none of the running workers" if live else ""


def count_words(files: int, unknown: int) -> str:
    """Returns how many files there are: "312 files · 4 unknown"."""
    said = ["1 file" if files == 1 else f"{files:,} files"]
    if unknown:
        said.append(f"{unknown:,} unknown")
    return " · ".join(said)


def said_words(one: ModelFileDocument) -> str:
    """Returns what is known of a file now that the owner has said something, for a toast."""
    name = one.name.rpartition("/")[2]
    if one.family_title is None:
        return f"“{name}” is of unknown kind"
    return f"“{name}” is {one.family_title}"


def in_words(
    beside: Mapping[tuple[str, str], Beside], workflow: Workflow
) -> dict[tuple[str, str], Beside]:
    """Returns what is loaded beside models, with what is missing in the words of the page.

    The fields for one file have the labels of the workflow's inputs.
    """
    return {
        key: replace(one, lacks=tuple(labelled(sentence(each), workflow) for each in one.lacks))
        for key, one in beside.items()
    }
