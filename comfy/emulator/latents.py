"""What the nodes do that work on latents: samplers, and to and from pictures."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from .images import METHODS, by_factor, scaled, wanted_size
from .masks import grown
from .painting import Recipe, changed, frames
from .values import (
    Inputs,
    Latent,
    Model,
    Picture,
    Pictures,
    Result,
    Run,
    Thing,
    check_memory,
    each,
)

Runner = Callable[[Run, Inputs], Result]
GREY = (127, 127, 127)
CELL = 8
"""Pixels of a side that one value of a latent stands for."""


@dataclass(frozen=True)
class Plan:
    """What one sampler run is made of."""

    latent: Latent
    model: Model | None
    text: str
    negative: str
    steps: int
    share: float = 1.0
    """How much of what is there is painted over."""
    seed: int = 0
    cfg: float = 7.0
    sampler: str = ""
    salt: str = ""
    """What it depends on besides."""


def sampled(run: Run, plan: Plan) -> Latent:
    """Paint what a sampler run gives, with the configured duration, and its steps."""
    latent = plan.latent
    check_memory(latent.width, latent.height, latent.batch_size, latent.length)
    model = plan.model
    recipe = Recipe(
        prompt=plan.text,
        negative=plan.negative,
        seed=plan.seed,
        steps=max(1, plan.steps),
        cfg=plan.cfg,
        sampler=plan.sampler,
        model="/".join((model.checkpoint, *model.marks)) if model else "",
        width=latent.width,
        height=latent.height,
        salt=plan.salt,
    )
    checkpoint = model.checkpoint if model else None
    pictures = run.sampling.sample(
        run, recipe, latent.batch_size, latent.pictures, plan.share, checkpoint
    )
    if latent.mask is not None and latent.pictures:
        pictures = _inside(latent.mask, latent.pictures, pictures)
    return replace(latent, pictures=tuple(pictures), model=checkpoint or "")


def _inside(mask: Picture, before: tuple[Picture, ...], after: Pictures) -> Pictures:
    fitting = mask.resize(after[0].size)
    return [
        Image.composite(new, before[number % len(before)].convert("RGB").resize(new.size), fitting)
        for number, new in enumerate(after)
    ]


def sample(run: Run, inputs: Inputs) -> Result:
    """KSampler. What it depends on beyond texts, model and numbers is in the salt."""
    latent: Latent = inputs["latent_image"]
    model: Model = inputs["model"]
    texts: tuple[Thing, Thing] = (inputs["positive"], inputs["negative"])
    plain = all(text.key == "" and text.model == Model(model.checkpoint) for text in texts)
    whole = inputs["denoise"] == 1.0 or bool(latent.pictures)
    plan = Plan(
        latent=latent,
        model=model,
        text=texts[0].text,
        negative=texts[1].text,
        steps=inputs["steps"],
        share=inputs["denoise"],
        seed=inputs["seed"],
        cfg=inputs["cfg"],
        sampler=f"{inputs['sampler_name']}/{inputs['scheduler']}",
        salt="" if plain and whole and latent.key == "" else run.key,
    )
    return Result((sampled(run, plan),))


def sample_some(run: Run, inputs: Inputs) -> Result:
    """KSamplerAdvanced: only the steps from one to another."""
    latent: Latent = inputs["latent_image"]
    first = min(inputs["start_at_step"], inputs["steps"])
    steps = min(inputs["end_at_step"], inputs["steps"]) - first
    if steps <= 0:
        return Result((latent,))
    plan = Plan(
        latent=latent,
        model=inputs["model"],
        text=inputs["positive"].text,
        negative=inputs["negative"].text,
        steps=steps,
        share=1 - first / inputs["steps"],
        seed=inputs["noise_seed"],
        cfg=inputs["cfg"],
        sampler=f"{inputs['sampler_name']}/{inputs['scheduler']}",
        salt=run.key,
    )
    return Result((sampled(run, plan),))


def decoded(run: Run, latent: Latent, vae: Any) -> Pictures:
    """The pictures of a latent; another VAE than the model's own changes them."""
    if not latent.pictures:
        grey = Image.new("RGB", (latent.width, latent.height), GREY)
        pictures = [grey] * latent.batch_size
    else:
        pictures = list(latent.pictures)
    if not (isinstance(vae, Model) and vae == Model(latent.model or vae.checkpoint)):
        pictures = each(pictures, lambda picture: changed(picture, run.key))
    if latent.length > 1:
        return [frame for picture in pictures for frame in frames(picture, latent.length)]
    return pictures


def decode(run: Run, inputs: Inputs) -> Result:
    """VAEDecode."""
    return Result((decoded(run, inputs["samples"], inputs["vae"]),))


def encoded(run: Run, inputs: Inputs, *, key: str = "") -> Latent:
    """The latent of `pixels`, and of `mask` if there is one.

    Sides are cut to a multiple of 8, in the middle, as a VAE needs them.
    """
    pictures = each(inputs["pixels"], _in_cells)
    width, height = pictures[0].size
    mask: Pictures | None = inputs.get("mask")
    is_plain = isinstance(inputs.get("vae"), Model) and not inputs["vae"].marks
    return Latent(
        width,
        height,
        len(pictures),
        tuple(pictures),
        mask=mask[0] if mask else None,
        key=key if is_plain else run.key,
    )


def _in_cells(picture: Picture) -> Picture:
    width, height = (max(CELL, side // CELL * CELL) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    if (left, top) == (0, 0) and picture.size == (width, height):
        return picture
    return picture.crop((left, top, left + width, top + height))


def encode(run: Run, inputs: Inputs) -> Result:
    """VAEEncode."""
    return Result((encoded(run, inputs),))


def encode_for_inpaint(run: Run, inputs: Inputs) -> Result:
    """VAEEncodeForInpaint: what is masked is greyed out before, and the mask grows."""
    mask = grown(inputs["mask"][0].resize(inputs["pixels"][0].size), inputs["grow_mask_by"])

    def greyed(picture: Picture) -> Picture:
        return Image.composite(Image.new("RGB", picture.size, GREY), picture.convert("RGB"), mask)

    pixels = each(inputs["pixels"], greyed)
    given = {"pixels": pixels, "mask": [mask], "vae": inputs["vae"]}
    return Result((encoded(run, given, key=run.key),))


def prepare_inpaint(run: Run, inputs: Inputs) -> Result:
    """InpaintModelConditioning."""
    latent = encoded(run, inputs, key=run.key)
    if not inputs.get("noise_mask", True):
        latent = replace(latent, mask=None)
    texts = (replace(inputs[name], key=run.key) for name in ("positive", "negative"))
    return Result((*texts, latent))


def set_mask(run: Run, inputs: Inputs) -> Result:
    """SetLatentNoiseMask."""
    return Result((replace(inputs["samples"], mask=inputs["mask"][0], key=run.key),))


def empty(_: Run, inputs: Inputs) -> Result:
    """EmptyLatentImage; sizes go down to a multiple of 8, as in a real latent."""
    width, height = inputs["width"] // 8 * 8, inputs["height"] // 8 * 8
    return Result((Latent(width, height, inputs["batch_size"]),))


def _resized(latent: Latent, size: tuple[int, int], inputs: Inputs) -> Latent:
    pictures = each(latent.pictures, lambda picture: scaled(picture, *size, inputs))
    return replace(latent, width=size[0], height=size[1], pictures=tuple(pictures))


def upscale(_: Run, inputs: Inputs) -> Result:
    """LatentUpscale."""
    latent: Latent = inputs["samples"]
    size = wanted_size(inputs["width"], inputs["height"], (latent.width, latent.height))
    return Result((_resized(latent, size, inputs),))


def upscale_by(_: Run, inputs: Inputs) -> Result:
    """LatentUpscaleBy."""
    latent: Latent = inputs["samples"]
    size = by_factor(Image.new("1", (latent.width, latent.height)), inputs["scale_by"])
    return Result((_resized(latent, size, inputs),))


def repeat(_: Run, inputs: Inputs) -> Result:
    """RepeatLatentBatch."""
    latent: Latent = inputs["samples"]
    times = inputs["amount"]
    more = replace(latent, batch_size=latent.batch_size * times, pictures=latent.pictures * times)
    return Result((more,))


def part(_: Run, inputs: Inputs) -> Result:
    """LatentFromBatch."""
    latent: Latent = inputs["samples"]
    start = min(max(0, inputs["batch_index"]), latent.batch_size - 1)
    count = min(inputs["length"], latent.batch_size - start)
    pictures = latent.pictures[start : start + count]
    return Result((replace(latent, batch_size=count, pictures=pictures),))


def composite(run: Run, inputs: Inputs) -> Result:
    """LatentCompositeMasked."""
    below: Latent = inputs["destination"]
    above: Latent = inputs["source"]
    if not below.pictures or not above.pictures:
        return Result((replace(below, key=run.key),))
    mask = inputs.get("mask")

    def composed(picture: Picture) -> Picture:
        source = above.pictures[0].convert("RGB")
        if inputs["resize_source"]:
            source = source.resize(picture.size, METHODS["bilinear"])
        canvas = picture.convert("RGB")
        shape = mask[0].resize(source.size) if mask else None
        canvas.paste(source, (inputs["x"], inputs["y"]), shape)
        return canvas

    return Result((replace(below, pictures=tuple(each(below.pictures, composed))),))


LATENTS: dict[str, Runner] = {
    "KSampler": sample,
    "KSamplerAdvanced": sample_some,
    "EmptyLatentImage": empty,
    "VAEDecode": decode,
    "VAEEncode": encode,
    "VAEEncodeForInpaint": encode_for_inpaint,
    "InpaintModelConditioning": prepare_inpaint,
    "SetLatentNoiseMask": set_mask,
    "LatentUpscale": upscale,
    "LatentUpscaleBy": upscale_by,
    "RepeatLatentBatch": repeat,
    "LatentFromBatch": part,
    "LatentCompositeMasked": composite,
}
