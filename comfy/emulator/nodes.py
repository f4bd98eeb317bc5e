"""What the node classes do. No model anywhere: latents are pictures already."""

import io
import json
import random
import string
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from .faults import OUT_OF_MEMORY
from .folders import Folders, save_path
from .pacing import Pacing
from .painting import Recipe
from .sampling import Sampling
from .sockets import PNG

Value = Any
Pictures = list[Image.Image]
MOST_PIXELS = 100_000_000
"""Per batch. More is out of memory, as it would be on a graphics card."""
METHODS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "bislerp": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Model:
    """A loaded checkpoint with its LoRAs; stands for MODEL, CLIP and VAE."""

    checkpoint: str
    loras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conditioning:
    """An encoded text."""

    text: str


@dataclass(frozen=True)
class Latent:
    """A batch of latents: an empty canvas, or pictures."""

    width: int
    height: int
    batch_size: int
    pictures: tuple[Image.Image, ...] = ()


@dataclass(frozen=True)
class Run:
    """What a node may reach while it runs."""

    prompt_id: str
    graph: dict[str, Any]
    extra_pnginfo: dict[str, Any] | None
    folders: Folders
    temp_prefix: str
    sampling: Sampling
    pacing: Pacing
    assets: bool
    """Whether each file is an asset, and has an id."""
    progress: Callable[[int, int, bytes | None, int], None]
    """(value, max, picture or None, image type) -> to the client."""


@dataclass(frozen=True)
class Result:
    """Values for the output slots, and what the node shows (its history outputs)."""

    values: tuple[Value, ...] = ()
    shown: dict[str, Any] | None = None


Inputs = dict[str, Any]


class OutOfMemoryError(Exception):
    """Clients see it as torch.OutOfMemoryError, by its module's name."""

    __module__ = "torch"


def load_checkpoint(run: Run, inputs: Inputs) -> Result:
    """CheckpointLoaderSimple."""
    run.sampling.load(inputs["ckpt_name"])
    model = Model(inputs["ckpt_name"])
    return Result((model, model, model))


def load_lora(_: Run, inputs: Inputs) -> Result:
    """LoraLoader."""
    mark = f"{inputs['lora_name']}:{inputs['strength_model']}:{inputs['strength_clip']}"
    model: Model = inputs["model"]
    with_lora = replace(model, loras=(*model.loras, mark))
    return Result((with_lora, inputs["clip"]))


def load_vae(_: Run, inputs: Inputs) -> Result:
    """VAELoader. Decoding and encoding do not depend on it."""
    return Result((Model(inputs["vae_name"]),))


def encode_text(_: Run, inputs: Inputs) -> Result:
    """CLIPTextEncode."""
    return Result((Conditioning(inputs["text"]),))


def empty_latent(_: Run, inputs: Inputs) -> Result:
    """EmptyLatentImage; sizes go down to a multiple of 8, as in a real latent."""
    width, height = inputs["width"] // 8 * 8, inputs["height"] // 8 * 8
    return Result((Latent(width, height, inputs["batch_size"]),))


def sample(run: Run, inputs: Inputs) -> Result:
    """KSampler: paints, with the configured duration."""
    model: Model = inputs["model"]
    latent: Latent = inputs["latent_image"]
    _check_memory(latent.width, latent.height, latent.batch_size)
    recipe = Recipe(
        prompt=inputs["positive"].text,
        negative=inputs["negative"].text,
        seed=inputs["seed"],
        steps=inputs["steps"],
        cfg=inputs["cfg"],
        sampler=f"{inputs['sampler_name']}/{inputs['scheduler']}",
        model="/".join((model.checkpoint, *model.loras)),
        width=latent.width,
        height=latent.height,
    )
    pictures = run.sampling.sample(
        run, recipe, latent.batch_size, latent.pictures, inputs["denoise"]
    )
    return Result((replace(latent, pictures=tuple(pictures)),))


def decode(_: Run, inputs: Inputs) -> Result:
    """VAEDecode."""
    latent: Latent = inputs["samples"]
    if latent.pictures:
        return Result((list(latent.pictures),))
    gray = Image.new("RGB", (latent.width, latent.height), (127, 127, 127))
    return Result(([gray] * latent.batch_size,))


def encode(_: Run, inputs: Inputs) -> Result:
    """VAEEncode."""
    pictures: Pictures = inputs["pixels"]
    width, height = pictures[0].size
    return Result((Latent(width, height, len(pictures), tuple(pictures)),))


def upscale_latent(_: Run, inputs: Inputs) -> Result:
    """LatentUpscale."""
    latent: Latent = inputs["samples"]
    width, height = _wanted_size(inputs, latent.width, latent.height)
    pictures = tuple(_scaled(picture, width, height, inputs) for picture in latent.pictures)
    return Result((Latent(width, height, latent.batch_size, pictures),))


def scale_image(_: Run, inputs: Inputs) -> Result:
    """ImageScale."""
    pictures: Pictures = inputs["image"]
    width, height = _wanted_size(inputs, *pictures[0].size)
    return Result(([_scaled(picture, width, height, inputs) for picture in pictures],))


def invert_image(_: Run, inputs: Inputs) -> Result:
    """ImageInvert."""
    return Result(([ImageOps.invert(picture) for picture in inputs["image"]],))


def load_image(run: Run, inputs: Inputs) -> Result:
    """LoadImage."""
    with Image.open(image_path(run.folders, inputs["image"])) as file:
        upright = ImageOps.exif_transpose(file)
        picture = upright.convert("RGB")
    return Result(([picture], None))


def empty_image(_: Run, inputs: Inputs) -> Result:
    """EmptyImage."""
    _check_memory(inputs["width"], inputs["height"], 1)
    color = inputs["color"]
    rgb = (color >> 16 & 255, color >> 8 & 255, color & 255)
    picture = Image.new("RGB", (inputs["width"], inputs["height"]), rgb)
    return Result(([picture] * inputs["batch_size"],))


def save_image(run: Run, inputs: Inputs) -> Result:
    """SaveImage."""
    return _save(run, inputs["images"], run.folders.output, inputs["filename_prefix"], "output", 4)


def preview_image(run: Run, inputs: Inputs) -> Result:
    """PreviewImage: a temporary file."""
    prefix = "ComfyUI" + run.temp_prefix
    return _save(run, inputs["images"], run.folders.temp, prefix, "temp", 1)


def save_image_websocket(run: Run, inputs: Inputs) -> Result:
    """SaveImageWebsocket: full pictures as binary frames, and no other output."""
    pictures: Pictures = inputs["images"]
    for index, picture in enumerate(pictures):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=1)
        run.progress(index, len(pictures), buffer.getvalue(), PNG)
    return Result()


RUNNERS: dict[str, Callable[[Run, Inputs], Result]] = {
    "CheckpointLoaderSimple": load_checkpoint,
    "LoraLoader": load_lora,
    "VAELoader": load_vae,
    "CLIPTextEncode": encode_text,
    "EmptyLatentImage": empty_latent,
    "KSampler": sample,
    "VAEDecode": decode,
    "VAEEncode": encode,
    "LatentUpscale": upscale_latent,
    "ImageScale": scale_image,
    "ImageInvert": invert_image,
    "LoadImage": load_image,
    "EmptyImage": empty_image,
    "SaveImage": save_image,
    "PreviewImage": preview_image,
    "SaveImageWebsocket": save_image_websocket,
}


def is_changed(folders: Folders, class_type: str, inputs: Inputs) -> Any:
    """ComfyUI's IS_CHANGED: part of the cache key, and left in the graph; None if none."""
    if class_type == "SaveImageWebsocket":
        return time.time()
    if class_type == "LoadImage" and isinstance(inputs.get("image"), str):
        path = image_path(folders, inputs["image"])
        stat = path.stat() if path.exists() else None
        return f"{stat.st_mtime_ns:x}-{stat.st_size:x}" if stat else None
    return None


def image_path(folders: Folders, name: str) -> Path:
    """The file LoadImage means by "name", "sub/name" or "name [temp]"."""
    bare, folder = folders.annotated(name)
    return (folder or folders.input) / bare


def temp_prefix() -> str:
    """The random part of PreviewImage's names: `_temp_` and five letters."""
    return "_temp_" + "".join(random.choice(string.ascii_lowercase) for _ in range(5))  # noqa: S311


def _check_memory(width: int, height: int, batch_size: int) -> None:
    if width * height * batch_size > MOST_PIXELS:
        raise OutOfMemoryError(OUT_OF_MEMORY)


def _save(
    run: Run, pictures: Pictures, root: Path, prefix: str, kind: str, compress_level: int
) -> Result:
    where = save_path(root, prefix, *pictures[0].size)
    saved = []
    for index, picture in enumerate(pictures):
        name = where.name.replace("%batch_num%", str(index))
        filename = f"{name}_{where.counter + index:05}_.png"
        picture.save(where.folder / filename, pnginfo=_chunks(run), compress_level=compress_level)
        file = {"filename": filename, "subfolder": where.subfolder, "type": kind}
        saved.append({**file, "id": str(uuid.uuid4())} if run.assets else file)
    return Result((pictures,), {"images": saved})


def _chunks(run: Run) -> PngInfo:
    chunks = PngInfo()
    chunks.add_text("prompt", json.dumps(run.graph))
    for key, value in (run.extra_pnginfo or {}).items():
        chunks.add_text(key, json.dumps(value))
    return chunks


def _wanted_size(inputs: Inputs, width: int, height: int) -> tuple[int, int]:
    """Zero means: keep the proportions; both zero: leave it unchanged."""
    wanted_width, wanted_height = inputs["width"], inputs["height"]
    if not wanted_width and not wanted_height:
        return width, height
    if not wanted_width:
        wanted_width = max(1, round(width * wanted_height / height))
    if not wanted_height:
        wanted_height = max(1, round(height * wanted_width / width))
    return wanted_width, wanted_height


def _scaled(picture: Image.Image, width: int, height: int, inputs: Inputs) -> Image.Image:
    method = METHODS[inputs["upscale_method"]]
    if inputs["crop"] == "center":
        return ImageOps.fit(picture, (width, height), method)
    return picture.resize((width, height), method)
