"""What forms say of model files: how a family is known, what does not go together, and why."""

from __future__ import annotations

from typing import Final

from api.models.documents import ModelFileDocument
from comfy.families.models import Reason

_REASONS: Final[dict[Reason, str]] = {
    "setting": "as you said",
    "header": "by its header",
    "metadata": "by its metadata",
    "name": "by its name only",
    "unknown": "",
}
UNKNOWN_FAMILY: Final = "What kind of model it is is not known."
SAY_FAMILY: Final = "Say it on the page Models"
CHOICES: Final[dict[str, dict[str, str]]] = {
    "mask_area": {"whole": "The whole image", "masked": "The masked part, in full detail"},
    "hires.method": {"latent": "Before decoding (latent)", "model": "By an upscale model"},
    "controls.*.type": {
        "auto": "What its name says",
        "canny": "Edges (Canny)",
        "depth": "Depth",
        "pose": "Pose",
        "lineart": "Line art",
        "scribble": "Scribble",
        "soft_edge": "Soft edges",
        "normal": "Normals",
        "segmentation": "Segmentation",
        "tile": "Tile",
        "blur": "Blur",
        "inpaint": "Inpaint",
    },
    "controls.*.preprocess": {
        "none": "Nothing, it is one",
        "canny": "Edges (Canny)",
        "depth": "Depth",
        "pose": "Pose",
        "lineart": "Line art",
        "scribble": "Scribble",
        "soft_edge": "Soft edges",
        "normal": "Normals",
        "segmentation": "Segmentation",
    },
}
"""What the choices of Easel's own workflows are called in a form."""


def known_by(file: ModelFileDocument) -> str:
    """Returns what a file is, and how that is known: "SDXL · by its header"."""
    if file.family_title is None:
        return "Family unknown"
    how = _REASONS.get(file.reason, "")
    return f"{file.family_title} · {how}" if how else file.family_title


def of_another_family(file: ModelFileDocument, model: str) -> str:
    """Returns the warning about a LoRA or ControlNet that was not made for the model's family."""
    return f"It is for {file.family_title}, the model is {model}: expect nothing good of it."


def shows_all(count: int, model: str) -> str:
    """Returns the label of the button that shows those of other families too."""
    return f"Show all ({count} not for {model})"


def shows_fitting(model: str) -> str:
    """Returns the label of the button that hides those of other families again."""
    return f"Only those for {model}"


def masks_misfit(mask: str, picture: str) -> str:
    """Returns what is wrong with a mask of another size than its image."""
    return f"The mask is {mask} pixels, the image {picture}: both must have one size."
