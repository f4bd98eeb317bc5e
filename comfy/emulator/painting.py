"""Pictures without a model: a sky, a light and ridges, drawn from a hash of the inputs.

Equal recipes give equal pixels. Prompt, negative prompt, seed, model and place in the batch decide
what is where; steps, cfg and sampler change detail, sharpness and colour, as a sampler would.
"""

import colorsys
import hashlib
import math
import random
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .caption import add_caption

SHARP_STEPS = 9
"""From this many steps on, nothing is blurred."""
RIDGES = 5
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Recipe:
    """Everything that a picture depends on; `width` and `height` in pixels."""

    prompt: str
    negative: str
    seed: int
    steps: int
    cfg: float
    sampler: str
    model: str
    width: int
    height: int
    salt: str = ""
    """What else it depends on."""


def paint(recipe: Recipe, index: int) -> Image.Image:
    """Returns the picture of a recipe, the `index`-th of its batch; always the same."""
    whole = (recipe.prompt, recipe.negative, recipe.seed, recipe.model, index)
    layout = _random(*whole, *filter(None, [recipe.salt]))
    hue, turn = layout.random(), layout.choice((-1, 1)) * layout.uniform(0.06, 0.22)
    saturation = 0.35 + min(recipe.cfg, 20.0) / 50

    def color(depth: float, value: float) -> Color:
        return _rgb(hue + turn * depth, saturation, value)

    canvas = _gradient(recipe, color(0.0, 0.45), color(1.0, 1.0))
    _add_light(canvas, layout, _rgb(hue + turn, 0.15, 1.0))
    octaves = 2 + round(math.log2(recipe.steps + 1))
    for ridge in range(RIDGES):
        near = (ridge + 1) / RIDGES
        line = _ridge(recipe, layout, top=0.4 + 0.5 * near, octaves=octaves)
        ImageDraw.Draw(canvas).polygon(line, fill=color(1.0 - near, 0.85 - 0.72 * near))
    if recipe.steps < SHARP_STEPS:
        radius = min(canvas.size) * 0.02 * (SHARP_STEPS - recipe.steps) / SHARP_STEPS
        canvas = canvas.filter(ImageFilter.BoxBlur(radius))
    canvas = Image.blend(canvas, _grain(canvas.size, recipe, index), 0.04)
    add_caption(canvas, recipe.prompt)
    return canvas


def changed(picture: Image.Image, key: str) -> Image.Image:
    """Returns the picture as a node changes it that is not really done: its colour and its grain
    depend on the key. Grey pictures stay grey, transparent ones transparent."""
    tint = _random(key).randbytes(3)
    color = Image.new("RGB", picture.size, (tint[0], tint[1], tint[2]))
    new = Image.blend(picture.convert("RGB"), color, 0.12)
    new = Image.blend(new, _grain(picture.size, key), 0.04)
    if picture.mode == "RGBA":
        new.putalpha(picture.getchannel("A"))
    return new.convert("L") if picture.mode == "L" else new


def frames(picture: Image.Image, count: int) -> list[Image.Image]:
    """Returns a video in which a picture sways; few of its frames differ, so that it is small."""
    sway = (0, 1, 2, 3, 4, 3, 2, 1)[:count]
    step = max(1, picture.width // 64)
    moved = {by: ImageChops.offset(picture, by * step, 0) for by in set(sway)}
    return [moved[sway[number % len(sway)]] for number in range(count)]


def _gradient(recipe: Recipe, top: Color, bottom: Color) -> Image.Image:
    size = (recipe.width, recipe.height)
    mask = Image.linear_gradient("L").resize(size, Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), mask)


def _add_light(canvas: Image.Image, layout: random.Random, color: Color) -> None:
    """A sun or moon with its glow, in place."""
    width, height = canvas.size
    at = (round(width * layout.uniform(0.2, 0.8)), round(height * layout.uniform(0.15, 0.4)))
    for reach, strength in ((0.9, 0.5), (0.16, 1.6)):
        size = max(2, round(min(width, height) * reach))
        glow = Image.radial_gradient("L").resize((size, size), Image.Resampling.BILINEAR)
        glow = glow.point(lambda far, strength=strength: min(255, max(0, 180 - far) * strength))
        canvas.paste(color, (at[0] - size // 2, at[1] - size // 2), glow)


def _ridge(
    recipe: Recipe, layout: random.Random, top: float, octaves: int
) -> list[tuple[float, float]]:
    """A ridge as a polygon down to the foot of the picture; each octave halves its segments."""
    heights = [layout.uniform(-1, 1), layout.uniform(-1, 1)]
    sway = 1.0
    for _ in range(octaves):
        between = [
            (left + right) / 2 + layout.uniform(-sway, sway) for left, right in pairwise(heights)
        ]
        heights = [height for pair in zip(heights, between, strict=False) for height in pair] + [
            heights[-1]
        ]
        sway *= 0.5
    apart = recipe.width / (len(heights) - 1)
    line = [
        (place * apart, (top + 0.06 * height) * recipe.height)
        for place, height in enumerate(heights)
    ]
    return [(0.0, recipe.height), *line, (recipe.width, recipe.height)]


def _grain(whole: tuple[int, int], *inputs: object) -> Image.Image:
    """Noise of a size that no other inputs have."""
    size = (max(1, whole[0] // 2), max(1, whole[1] // 2))
    noise = _random(*inputs).randbytes(size[0] * size[1])
    grain = Image.frombytes("L", size, noise).convert("RGB")
    return grain.resize(whole, Image.Resampling.NEAREST)


def _rgb(hue: float, saturation: float, value: float) -> Color:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(saturation, 1.0), value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _random(*inputs: object) -> random.Random:
    return random.Random(hashlib.sha256(repr(inputs).encode()).digest())  # noqa: S311
