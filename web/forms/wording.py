"""What forms say of model files: how a family is known, what does not go together, and why."""

from __future__ import annotations

from typing import Final

from api.models.documents import ModelFileDocument
from api.models.families import Reason
from core.workflows.declaration import Workflow
from web.forms.labels import input_at, labelled
from web.parts.wording import sentence

_REASONS: Final[dict[Reason, str]] = {
    "setting": "as you said",
    "header": "by its header",
    "metadata": "by its metadata",
    "name": "by its name only",
    "unknown": "",
}
UNKNOWN_FAMILY: Final = "What kind of model it is is not known."
SAY_FAMILY: Final = "Say it on the page Models"
_SAY_PARTS: Final = "For all requests with this model, set it on the page Models."
"""Where the files beside a model are named once."""
_SHOWN: Final = {
    "canny": "Edges (Canny)",
    "depth": "Depth",
    "pose": "Pose",
    "lineart": "Line art",
    "scribble": "Scribble",
    "soft_edge": "Soft edges",
    "normal": "Normals",
    "segmentation": "Segmentation",
}
"""What control images show."""
CHOICES: Final[dict[str, dict[str, str]]] = {
    "mask_area": {"whole": "The whole image", "masked": "The masked part, in full detail"},
    "hires.method": {"latent": "Before decoding (latent)", "model": "By an upscale model"},
    "controls.*.type": {
        "auto": "What its name says",
        **_SHOWN,
        "tile": "Tile",
        "blur": "Blur",
        "inpaint": "Inpaint",
    },
    "controls.*.preprocess": {
        "none": "Nothing: it is one",
        **_SHOWN,
    },
}
"""What the choices of Easel's own workflows are called in a form."""

HELP: Final[dict[str, str]] = {
    "cfg": "How strongly the image follows the prompt.",
    "denoise": "0 keeps the image, 1 forgets it.",
    "mask_area": "",
    "batch_size": "",
    "model": "",
    "guidance": "What Flux models have in place of CFG.",
    "hires.method": "",
    "controls.*.preprocess": "",
    "clip_skip": "The text encoder's layer, counted from the last.",
}
"""What is said beneath their fields, where the form is clear with less than the declaration."""

LEFT_OPEN: Final[dict[str, str]] = {
    "vae": "the model's own",
    "hires.method": "as fits",
    "loras.*.strength_clip": "the same",
}
"""What is used where nothing is entered and no number says it, by the inputs' paths."""
NO_UPSCALER: Final = "ComfyUI has none"
_MISSING: Final[dict[str, str]] = {
    "image": "Choose an image first.",
    "mask": "Choose a mask first.",
    "model": "Choose a file first.",
}


def mistake_at(workflow: Workflow, path: str, kind: str, message: str) -> str:
    """Returns what is wrong with an input, or with something inside of it, in words for people."""
    one = input_at(workflow, path)
    if one is None or kind not in _NOT_THERE:
        return problem_at(workflow, path, kind, message)
    if one.role == "prompt":
        return "Describe the image first." if workflow.kind == "image" else "Describe it first."
    inner = one.items if one.items is not None else one
    return _MISSING.get(inner.type, "Fill this in first.")


def problem_at(workflow: Workflow, path: str, kind: str, message: str) -> str:
    """Returns what was found wrong with an input, in the words of the form."""
    said = labelled(sentence(message), workflow)
    is_part = kind == "missing_models" and input_at(workflow, path) is not None
    return f"{said} {_SAY_PARTS}" if is_part else said


_NOT_THERE: Final = frozenset({"missing", "too_short", "string_too_short"})


def known_by(file: ModelFileDocument) -> str:
    """Returns what a file is, and how that is known: "SDXL · by its header"."""
    if file.family_title is None:
        return "Family unknown"
    how = _REASONS.get(file.reason, "")
    return f"{file.family_title} · {how}" if how else file.family_title


def of_another_family(file: ModelFileDocument, model: str) -> str:
    """Returns the warning about a LoRA or ControlNet that was not made for the model's family."""
    return f"For {file.family_title}, not for {model}: it will do nothing, or harm."


def shows_all(count: int, model: str) -> str:
    """Returns the label of the button that shows those of other families too."""
    return f"Show all ({count} not for {model})"


def shows_fitting(model: str) -> str:
    """Returns the label of the button that hides those of other families again."""
    return f"Only those for {model}"
