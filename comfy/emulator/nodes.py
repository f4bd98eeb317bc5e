"""What the node classes do: some really, all others in the shape of their inputs."""

import hashlib
import random
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from .anything import anything
from .folders import Folders
from .images import IMAGES
from .latents import LATENTS
from .masks import MASKS, alpha_mask, channel
from .primitives import PRIMITIVES
from .saving import SAVING
from .sounds import SOUNDS, loaded_sound
from .validation import FILES
from .values import Inputs, Model, Pictures, Result, Run, Thing
from .videos import VIDEOS, loaded_video

MOST_FRAMES = 1000


def load_checkpoint(run: Run, inputs: Inputs) -> Result:
    """CheckpointLoaderSimple."""
    run.sampling.load(inputs["ckpt_name"])
    model = Model(inputs["ckpt_name"])
    return Result((model, model, model))


def load_lora(_: Run, inputs: Inputs) -> Result:
    """LoraLoader and LoraLoaderModelOnly; at strength 0 nothing is changed."""
    model = _patched(inputs["model"], inputs["lora_name"], inputs["strength_model"])
    if "clip" not in inputs:
        return Result((model,))
    return Result((model, _patched(inputs["clip"], inputs["lora_name"], inputs["strength_clip"])))


def _patched(model: Model, lora: str, strength: float) -> Model:
    return model.marked(f"{lora}:{strength}") if strength else model


def apply_control(run: Run, inputs: Inputs) -> Result:
    """ControlNetApplyAdvanced and its kind; at strength 0 nothing is changed."""
    if not inputs["strength"]:
        return Result((inputs["positive"], inputs["negative"]))
    return anything(run, inputs)


def encode_text(run: Run, inputs: Inputs) -> Result:
    """CLIPTextEncode."""
    clip = inputs["clip"]
    is_plain = isinstance(clip, Model) and not clip.marks
    key = "" if is_plain else run.key
    return Result((Thing("CONDITIONING", key, text=inputs["text"], model=clip),))


def load_image(run: Run, inputs: Inputs) -> Result:
    """LoadImage: the picture, or the frames of an animation, and its transparency as a mask."""
    pictures: Pictures = []
    masks: Pictures = []
    with Image.open(input_path(run.folders, inputs["image"])) as file:
        for number in range(min(getattr(file, "n_frames", 1), MOST_FRAMES)):
            file.seek(number)
            upright = ImageOps.exif_transpose(file)
            pictures.append(upright.convert("RGB"))
            masks.append(alpha_mask(upright))
    return Result((pictures, masks))


def load_mask(run: Run, inputs: Inputs) -> Result:
    """LoadImageMask: one channel; transparency is turned over, so that white is masked."""
    with Image.open(input_path(run.folders, inputs["image"])) as file:
        upright = ImageOps.exif_transpose(file)
        if inputs["channel"] == "alpha":
            return Result(([alpha_mask(upright)],))
        return Result(([channel(upright, inputs["channel"])],))


def load_sound(run: Run, inputs: Inputs) -> Result:
    """LoadAudio."""
    return Result((loaded_sound(input_path(run.folders, inputs["audio"])),))


def load_video(run: Run, inputs: Inputs) -> Result:
    """LoadVideo."""
    return Result((loaded_video(input_path(run.folders, inputs["file"])),))


RUNNERS: dict[str, Callable[[Run, Inputs], Result]] = {
    "CheckpointLoaderSimple": load_checkpoint,
    "LoraLoader": load_lora,
    "LoraLoaderModelOnly": load_lora,
    "ControlNetApplyAdvanced": apply_control,
    "ControlNetInpaintingAliMamaApply": apply_control,
    "CLIPTextEncode": encode_text,
    "LoadImage": load_image,
    "LoadImageOutput": load_image,
    "LoadImageMask": load_mask,
    "LoadAudio": load_sound,
    "LoadVideo": load_video,
    **IMAGES,
    **MASKS,
    **LATENTS,
    **SOUNDS,
    **VIDEOS,
    **PRIMITIVES,
    **SAVING,
}


LAZY: dict[str, Callable[[Inputs], tuple[str, ...]]] = {
    "ComfySwitchNode": lambda inputs: ("on_true" if inputs["switch"] else "on_false",),
}
"""The classes with lazy inputs: which of these they need, with the values of the others."""


def run_node(run: Run, inputs: Inputs) -> Result:
    """Run a node. Raises what becomes the node's error."""
    return RUNNERS.get(run.node_class.name, anything)(run, inputs)


def is_changed(folders: Folders, class_type: str, inputs: Inputs) -> Any:
    """ComfyUI's IS_CHANGED: part of the cache key, and left in the graph; None if none."""
    if class_type == "SaveImageWebsocket":
        return time.time()
    name = inputs.get(FILES.get(class_type, ("", ""))[0])
    if not isinstance(name, str):
        return None
    path = input_path(folders, name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def input_path(folders: Folders, name: str) -> Path:
    """The file that a node means by "name", "sub/name" or "name [temp]"."""
    bare, folder = folders.annotated(name)
    return (folder or folders.input) / bare


def temp_prefix() -> str:
    """The random part of PreviewImage's names: `_temp_` and five letters."""
    return "_temp_" + "".join(random.choice(string.ascii_lowercase) for _ in range(5))  # noqa: S311
