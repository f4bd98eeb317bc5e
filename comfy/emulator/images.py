"""What the nodes do that work on pictures: really done, with Pillow."""

import math
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageChops, ImageColor, ImageOps

from .blurring import blurred
from .painting import changed
from .values import Inputs, Picture, Pictures, Result, Run, check_memory, each

METHODS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "bislerp": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
MEGAPIXEL = 1024 * 1024
COLORS = {"white": 255, "black": 0}


def scaled(picture: Picture, width: int, height: int, inputs: Inputs) -> Picture:
    """A picture of another size, by the method and crop that the inputs say."""
    name = inputs.get("upscale_method") or inputs.get("scale_method") or inputs.get("interpolation")
    method = METHODS.get(str(name), Image.Resampling.LANCZOS)
    size = (max(1, width), max(1, height))
    check_memory(*size, 1)
    crop = inputs.get("crop") or inputs.get("resize_type.crop")
    if crop == "center":
        return ImageOps.fit(picture, size, method)
    return picture.resize(size, method)


def wanted_size(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    """Zero means: keep the proportions; both zero: leave it unchanged."""
    if not width and not height:
        return size
    if not width:
        width = max(1, round(size[0] * height / size[1]))
    if not height:
        height = max(1, round(size[1] * width / size[0]))
    return width, height


def by_factor(picture: Picture, factor: float) -> tuple[int, int]:
    """The size of a picture times a factor."""
    return max(1, round(picture.width * factor)), max(1, round(picture.height * factor))


def on_each(
    name: str, change: Callable[[Picture, Inputs], Picture]
) -> Callable[[Run, Inputs], Result]:
    """A node that changes each picture of one input by itself."""

    def runner(_: Run, inputs: Inputs) -> Result:
        return Result((each(inputs[name], lambda picture: change(picture, inputs)),))

    return runner


def _scale(picture: Picture, inputs: Inputs) -> Picture:
    size = wanted_size(inputs["width"], inputs["height"], picture.size)
    return scaled(picture, *size, inputs)


def _scale_by(picture: Picture, inputs: Inputs) -> Picture:
    return scaled(picture, *by_factor(picture, inputs["scale_by"]), inputs)


def _scale_to_total(picture: Picture, inputs: Inputs) -> Picture:
    size = total_size(picture.size, inputs["megapixels"], inputs.get("resolution_steps", 1))
    return scaled(picture, *size, inputs)


def total_size(size: tuple[int, int], megapixels: float, step: int = 1) -> tuple[int, int]:
    """The size of so many megapixels in the same proportions, each side a multiple of `step`."""
    factor = math.sqrt(megapixels * MEGAPIXEL / (size[0] * size[1]))
    width, height = (max(step, round(side * factor / step) * step) for side in size)
    return width, height


def _scale_to_longest(picture: Picture, inputs: Inputs) -> Picture:
    longest = inputs.get("largest_size") or inputs.get("longer_edge") or max(picture.size)
    return scaled(picture, *by_factor(picture, longest / max(picture.size)), inputs)


def _scale_to_shortest(picture: Picture, inputs: Inputs) -> Picture:
    factor = inputs["shorter_edge"] / min(picture.size)
    return scaled(picture, *by_factor(picture, factor), inputs)


def _scale_for_flux(picture: Picture, _: Inputs) -> Picture:
    size = total_size(picture.size, 1.0, 16)
    return scaled(picture, *size, {"crop": "center"})


def resize(_: Run, inputs: Inputs) -> Result:
    """ResizeImageMaskNode: as the chosen way says."""

    def size(picture: Picture) -> tuple[int, int]:
        get = {
            name.removeprefix("resize_type."): value
            for name, value in inputs.items()
            if name.startswith("resize_type.")
        }
        match inputs["resize_type"]:
            case "scale by multiplier":
                return by_factor(picture, get["multiplier"])
            case "scale longer dimension":
                return by_factor(picture, get["longer_size"] / max(picture.size))
            case "scale shorter dimension":
                return by_factor(picture, get["shorter_size"] / min(picture.size))
            case "scale total pixels":
                return total_size(picture.size, get["megapixels"])
            case "match size":
                return (get["match"][0].width, get["match"][0].height)
            case "scale to multiple":
                step = max(1, get.get("multiple", 1))
                return picture.width // step * step, picture.height // step * step
            case _:
                return wanted_size(get.get("width", 0), get.get("height", 0), picture.size)

    done = each(inputs["input"], lambda picture: scaled(picture, *size(picture), inputs))
    return Result((done,))


def _crop(picture: Picture, inputs: Inputs) -> Picture:
    region = inputs.get("crop_region") or inputs
    left = min(region["x"], picture.width - 1)
    top = min(region["y"], picture.height - 1)
    right = min(left + region["width"], picture.width)
    lower = min(top + region["height"], picture.height)
    return picture.crop((left, top, max(left + 1, right), max(top + 1, lower)))


def pad_for_outpaint(_: Run, inputs: Inputs) -> Result:
    """ImagePadForOutpaint: grey around, and a mask of what is to be filled, soft at the seam."""
    left, top, right, bottom = (inputs[side] for side in ("left", "top", "right", "bottom"))

    def padded(picture: Picture) -> Picture:
        size = (picture.width + left + right, picture.height + top + bottom)
        check_memory(*size, 1)
        canvas = Image.new("RGB", size, (128, 128, 128))
        canvas.paste(picture.convert("RGB"), (left, top))
        return canvas

    pictures = each(inputs["image"], padded)
    kept = Image.new("L", inputs["image"][0].size, 0)
    reach = inputs["feathering"]
    if 0 < 2 * reach < min(kept.size):
        _fade(kept, reach, (left, top, right, bottom))
    mask = Image.new("L", pictures[0].size, 255)
    mask.paste(kept, (left, top))
    return Result((pictures, [mask]))


def _fade(kept: Picture, reach: int, added: tuple[int, int, int, int]) -> None:
    """Masks what is near to the sides where something is added: by the square of the nearness.

    The first pixel is 0 from the left and upper side, the last one 1 from the others.
    """
    width, height = kept.size
    for far in reversed(range(reach)):
        value = int(255 * ((reach - far) / reach) ** 2)
        lines = (
            (far, 0, far + 1, height),
            (0, far, width, far + 1),
            (width - far, 0, width - far + 1, height),
            (0, height - far, width, height - far + 1),
        )
        for line, more in zip(lines, added, strict=True):
            if more:
                kept.paste(value, line)


def _pad(picture: Picture, inputs: Inputs) -> Picture:
    size = (inputs["target_width"], inputs["target_height"])
    check_memory(*size, 1)
    method = METHODS.get(inputs["interpolation"], Image.Resampling.BICUBIC)
    color = COLORS.get(inputs["padding_color"], 0)
    return ImageOps.pad(picture.convert("RGB"), size, method, (color, color, color))


def composite(_: Run, inputs: Inputs) -> Result:
    """ImageCompositeMasked: the source over the destination, where the mask is white."""
    sources: Pictures = inputs["source"]
    masks: Pictures = inputs.get("mask") or []
    at = (inputs["x"], inputs["y"])

    def composed(number: int, below: Picture) -> Picture:
        above = sources[number % len(sources)].convert("RGB")
        if inputs["resize_source"]:
            above = above.resize(below.size)
        mask = masks[number % len(masks)].resize(above.size) if masks else None
        canvas = below.convert("RGB")
        canvas.paste(above, at, mask)
        return canvas

    pairs = enumerate(inputs["destination"])
    return Result(([composed(number, below) for number, below in pairs],))


def batch(_: Run, inputs: Inputs) -> Result:
    """ImageBatch and its kind: all pictures, in the size of the first."""
    pictures = [picture for given in inputs.values() if is_pictures(given) for picture in given]
    size = pictures[0].size
    return Result((each(pictures, lambda picture: ImageOps.fit(picture, size)),))


def is_pictures(value: Any) -> bool:
    """Whether a value is a batch of pictures or masks."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], Image.Image)


def repeat(_: Run, inputs: Inputs) -> Result:
    """RepeatImageBatch."""
    return Result((inputs["image"] * inputs["amount"],))


def part_of_batch(_: Run, inputs: Inputs) -> Result:
    """ImageFromBatch: negative places count from the end."""
    pictures: Pictures = inputs["image"]
    start = inputs["batch_index"]
    start = max(0, min(start if start >= 0 else len(pictures) + start, len(pictures) - 1))
    return Result((pictures[start : start + inputs["length"]],))


def _flip(picture: Picture, inputs: Inputs) -> Picture:
    is_vertical = str(inputs["flip_method"]).startswith("x")
    return ImageOps.flip(picture) if is_vertical else ImageOps.mirror(picture)


def _rotate(picture: Picture, inputs: Inputs) -> Picture:
    degrees = int(str(inputs["rotation"]).split(" ")[0].replace("none", "0"))
    return picture.rotate(-degrees, expand=True)


def _blur(picture: Picture, inputs: Inputs) -> Picture:
    return blurred(picture, inputs["blur_radius"], inputs["sigma"])


def blend(_: Run, inputs: Inputs) -> Result:
    """ImageBlend. Only the modes that Pillow has are what they are called."""
    modes: dict[str, Callable[[Picture, Picture], Picture]] = {
        "multiply": ImageChops.multiply,
        "screen": ImageChops.screen,
        "overlay": ImageChops.overlay,
        "soft_light": ImageChops.soft_light,
        "difference": ImageChops.difference,
    }
    above: Pictures = inputs["image2"]

    def blended(below: Picture) -> Picture:
        first = below.convert("RGB")
        second = above[0].convert("RGB").resize(first.size)
        mixed = modes.get(inputs["blend_mode"], _other)(first, second)
        return Image.blend(first, mixed, min(1.0, max(0.0, inputs["blend_factor"])))

    return Result((each(inputs["image1"], blended),))


def _other(_: Picture, other: Picture) -> Picture:
    return other


def stitch(_: Run, inputs: Inputs) -> Result:
    """ImageStitch: two pictures side by side."""
    first = inputs["image1"][0].convert("RGB")
    if not inputs.get("image2"):
        return Result((inputs["image1"],))
    second = inputs["image2"][0].convert("RGB")
    is_row = inputs["direction"] in ("right", "left")
    if inputs["match_image_size"]:
        factor = first.height / second.height if is_row else first.width / second.width
        second = second.resize(by_factor(second, factor))
    pair = (first, second) if inputs["direction"] in ("right", "down") else (second, first)
    gap = inputs["spacing_width"]
    along = sum(picture.size[0 if is_row else 1] for picture in pair) + gap
    across = max(picture.size[1 if is_row else 0] for picture in pair)
    size = (along, across) if is_row else (across, along)
    check_memory(*size, 1)
    canvas = Image.new("RGB", size, ImageColor.getrgb(inputs["spacing_color"]))
    canvas.paste(pair[0], (0, 0))
    after = pair[0].size[0 if is_row else 1] + gap
    canvas.paste(pair[1], (after, 0) if is_row else (0, after))
    return Result(([canvas],))


def upscale_with_model(run: Run, inputs: Inputs) -> Result:
    """ImageUpscaleWithModel: as many times as the model's name says, four by default."""
    name = inputs["upscale_model"].checkpoint.lower()
    factor = next((times for times in (2, 8, 3) if f"{times}x" in name or f"x{times}" in name), 4)

    def upscaled(picture: Picture) -> Picture:
        return changed(scaled(picture, *by_factor(picture, factor), {}), run.key)

    return Result((each(inputs["image"], upscaled),))


def empty(_: Run, inputs: Inputs) -> Result:
    """EmptyImage."""
    check_memory(inputs["width"], inputs["height"], 1)
    color = inputs["color"]
    rgb = (color >> 16 & 255, color >> 8 & 255, color & 255)
    picture = Image.new("RGB", (inputs["width"], inputs["height"]), rgb)
    return Result(([picture] * inputs["batch_size"],))


def size_of(_: Run, inputs: Inputs) -> Result:
    """GetImageSize."""
    pictures: Pictures = inputs["image"]
    return Result((*pictures[0].size, len(pictures)))


IMAGES: dict[str, Callable[[Run, Inputs], Result]] = {
    "EmptyImage": empty,
    "GetImageSize": size_of,
    "ImageScale": on_each("image", _scale),
    "ImageScaleBy": on_each("image", _scale_by),
    "ImageScaleToTotalPixels": on_each("image", _scale_to_total),
    "ImageScaleToMaxDimension": on_each("image", _scale_to_longest),
    "ResizeImagesByLongerEdge": on_each("images", _scale_to_longest),
    "ResizeImagesByShorterEdge": on_each("images", _scale_to_shortest),
    "FluxKontextImageScale": on_each("image", _scale_for_flux),
    "ResizeImageMaskNode": resize,
    "ResizeAndPadImage": on_each("image", _pad),
    "ImageCrop": on_each("image", _crop),
    "ImageCropV2": on_each("image", _crop),
    "ImagePadForOutpaint": pad_for_outpaint,
    "ImageCompositeMasked": composite,
    "ImageBatch": batch,
    "BatchImagesNode": batch,
    "BatchMasksNode": batch,
    "RepeatImageBatch": repeat,
    "ImageFromBatch": part_of_batch,
    "ImageInvert": on_each("image", lambda picture, _: ImageOps.invert(picture.convert("RGB"))),
    "ImageFlip": on_each("image", _flip),
    "ImageRotate": on_each("image", _rotate),
    "ImageBlur": on_each("image", _blur),
    "ImageBlend": blend,
    "ImageStitch": stitch,
    "ImageUpscaleWithModel": upscale_with_model,
}
