"""Pictures without a model: landscapes made of gradients, ridges and noise.

Everything comes from hashes of the recipe, so equal recipes give equal pixels. What is
where depends on prompt, negative prompt, seed, model and place in the batch; steps, cfg
and sampler change detail, sharpness and colour, as they would in earnest.
"""

import hashlib
import math
import random
from dataclasses import dataclass

from PIL import Image, ImageFilter

from . import scenery, things
from .caption import add_caption
from .palette import choose_palette, choose_things
from .scenery import Scene

SHARP_STEPS = 9
"""From so many steps on, nothing is blurred."""


@dataclass(frozen=True)
class Recipe:
    """All that a picture depends on; `width` and `height` in pixels."""

    prompt: str
    negative: str
    seed: int
    steps: int
    cfg: float
    sampler: str
    model: str
    width: int
    height: int


def paint(recipe: Recipe, index: int) -> Image.Image:
    """The picture of a recipe, the `index`-th of its batch; always the same."""
    scene = _scene(recipe, index)
    scenery.add_sky(scene)
    scenery.add_light(scene)
    scenery.add_clouds(scene)
    if "water" in scene.things:
        scenery.add_ridges(scene, count=2, top=scene.horizon - 0.16, bottom=scene.horizon)
        scenery.add_water(scene)
        things.add_boat_and_shore(scene)
    else:
        scenery.add_ridges(scene, count=5, top=scene.horizon - 0.14, bottom=1.0)
    things.add_animals(scene)
    things.add_weather(scene)
    scenery.add_vignette(scene)
    if recipe.steps < SHARP_STEPS:
        radius = scene.unit * 0.02 * (SHARP_STEPS - recipe.steps) / SHARP_STEPS
        scene.canvas = scene.canvas.filter(ImageFilter.BoxBlur(radius))
    add_caption(scene.canvas, recipe.prompt)
    return scene.canvas


def _scene(recipe: Recipe, index: int) -> Scene:
    layout = _random(recipe.prompt, recipe.negative, recipe.seed, recipe.model, index)
    palette = choose_palette(recipe.prompt, layout)
    return Scene(
        canvas=Image.new("RGB", (recipe.width, recipe.height)),
        palette=palette.saturated(0.75 + min(recipe.cfg, 20.0) / 28),
        things=choose_things(recipe.prompt, recipe.negative),
        layout=layout,
        grain=_random(recipe, index),
        detail=min(1.0, math.log2(recipe.steps + 1) / 4.4),
        horizon=layout.uniform(0.54, 0.64),
        light_x=layout.uniform(0.2, 0.8),
    )


def _random(*inputs: object) -> random.Random:
    return random.Random(hashlib.sha256(repr(inputs).encode()).digest())  # noqa: S311
