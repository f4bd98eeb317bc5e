"""ImageBlur's way to blur: what is further away than the radius has no part in a pixel."""

import math

from PIL import Image, ImageMath, ImageOps

from .values import Picture


def blurred(picture: Picture, radius: int, sigma: float) -> Picture:
    """The picture blurred; `sigma` is in units of the radius, and the sides are mirrored.

    Raises ValueError where a side is no longer than the radius, as ComfyUI does.
    """
    if radius >= min(picture.size):
        raise ValueError(
            "Argument #4: Padding size should be less than the corresponding input dimension"
        )
    places = [place / radius for place in range(-radius, radius + 1)]
    raw = [math.exp(-(place**2) / (2 * sigma**2)) for place in places]
    weights = [weight / sum(raw) for weight in raw]
    bands = picture.convert("RGB").split()
    done: dict[bytes, Picture] = {}
    for band in bands:
        key = band.tobytes()
        if key not in done:
            done[key] = _band(band, weights)
    return Image.merge("RGB", [done[band.tobytes()] for band in bands])


def _band(band: Picture, weights: list[float]) -> Picture:
    across = _rows(band.convert("F"), weights)
    down = _rows(across.transpose(Image.Transpose.TRANSPOSE), weights)
    whole = _sum(down, Image.new("F", down.size, 0.5), 1.0)  # "L" cuts off
    return whole.transpose(Image.Transpose.TRANSPOSE).convert("L")


def _rows(picture: Picture, weights: list[float]) -> Picture:
    """Each row by itself: the weighted sum of the picture, moved by each place of the kernel."""
    radius = len(weights) // 2
    width, height = picture.size
    wide = Image.new("F", (width + 2 * radius, height))
    mirrored = ImageOps.mirror(picture)
    wide.paste(mirrored, (radius - width + 1, 0))
    wide.paste(mirrored, (radius + width - 1, 0))
    wide.paste(picture, (radius, 0))
    total = Image.new("F", picture.size)
    for place, weight in enumerate(weights):
        total = _sum(total, wide.crop((place, 0, place + width, height)), weight)
    return total


def _sum(first: Picture, second: Picture, weight: float) -> Picture:
    total: Picture = ImageMath.lambda_eval(
        lambda given: given["a"] + given["b"] * weight, a=first, b=second
    )
    return total
