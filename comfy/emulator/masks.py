"""What the nodes do that work on masks: really done, with Pillow. White is masked."""

from collections.abc import Callable

from PIL import Image, ImageChops, ImageFilter, ImageOps

from .images import on_each
from .values import Inputs, Picture, Pictures, Result, Run, check_memory, each

NO_MASK = (64, 64)
"""The size of the black mask of a picture without transparency."""
WIDEST_FILTER = 101
Runner = Callable[[Run, Inputs], Result]


def alpha_mask(picture: Picture) -> Picture:
    """The mask of a picture as LoadImage gives it: what is transparent is masked."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return Image.new("L", NO_MASK, 0)
    return ImageOps.invert(picture.convert("RGBA").getchannel("A"))


def channel(picture: Picture, name: str) -> Picture:
    """One channel of a picture as a mask."""
    return picture.convert("RGBA").getchannel(name[0].upper())


def _from_color(picture: Picture, inputs: Inputs) -> Picture:
    color = inputs["color"]
    rgb = (color >> 16 & 255, color >> 8 & 255, color & 255)
    apart = ImageChops.difference(picture.convert("RGB"), Image.new("RGB", picture.size, rgb))
    most = ImageChops.lighter(
        ImageChops.lighter(apart.getchannel("R"), apart.getchannel("G")), apart.getchannel("B")
    )
    return most.point(lambda far: 0 if far else 255)


def solid(_: Run, inputs: Inputs) -> Result:
    """SolidMask."""
    check_memory(inputs["width"], inputs["height"], 1)
    value = round(255 * min(1.0, max(0.0, inputs["value"])))
    return Result(([Image.new("L", (inputs["width"], inputs["height"]), value)],))


def _crop(mask: Picture, inputs: Inputs) -> Picture:
    left, top = inputs["x"], inputs["y"]
    return mask.crop((left, top, left + inputs["width"], top + inputs["height"]))


def _feather(mask: Picture, inputs: Inputs) -> Picture:
    """Fades out towards each side over so many pixels."""
    width, height = mask.size
    fade = Image.new("L", mask.size, 255)
    for side in ("left", "top", "right", "bottom"):
        along = width if side in ("left", "right") else height
        reach = min(inputs[side], along)
        line = Image.new("L", (along, 1), 255)
        for place in range(reach):
            at = place if side in ("left", "top") else along - 1 - place
            line.putpixel((at, 0), round(255 * (place + 1) / reach))
        if side in ("top", "bottom"):
            line = line.transpose(Image.Transpose.ROTATE_270)
        fade = ImageChops.multiply(fade, line.resize(mask.size))
    return ImageChops.multiply(mask, fade)


def _grow(mask: Picture, inputs: Inputs) -> Picture:
    by = inputs["expand"]
    return tapered(mask, by) if inputs["tapered_corners"] else grown(mask, by)


def grown(mask: Picture, by: int) -> Picture:
    """A mask that reaches so many pixels further, or less far if negative."""
    for done in range(0, abs(by), WIDEST_FILTER // 2):
        size = 2 * min(abs(by) - done, WIDEST_FILTER // 2) + 1
        mask = mask.filter(ImageFilter.MaxFilter(size) if by > 0 else ImageFilter.MinFilter(size))
        if done > max(mask.size):
            break
    return mask


def tapered(mask: Picture, by: int) -> Picture:
    """The same along rows and columns alone, so that a point becomes a diamond."""
    chosen = ImageChops.lighter if by > 0 else ImageChops.darker
    for _ in range(min(abs(by), sum(mask.size))):
        before = mask
        for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            beside = before.copy()
            beside.paste(before, (x, y))
            mask = chosen(mask, beside)
    return mask


def _threshold(mask: Picture, inputs: Inputs) -> Picture:
    limit = inputs["value"] * 255
    return mask.point(lambda value: 255 if value > limit else 0)


def compose(_: Run, inputs: Inputs) -> Result:
    """MaskComposite: the source put onto the destination by an operation."""
    sources: Pictures = inputs["source"]
    operations: dict[str, Callable[[Picture, Picture], Picture]] = {
        "multiply": ImageChops.multiply,
        "add": ImageChops.add,
        "subtract": ImageChops.subtract,
        "and": ImageChops.darker,
        "or": ImageChops.lighter,
        "xor": ImageChops.difference,
    }
    operation = operations.get(inputs["operation"], ImageChops.lighter)

    def composed(below: Picture) -> Picture:
        left, top = inputs["x"], inputs["y"]
        box = (left, top, left + sources[0].width, top + sources[0].height)
        canvas = below.copy()
        canvas.paste(operation(below.crop(box), sources[0]), (left, top))
        return canvas

    return Result((each(inputs["destination"], composed),))


def join_alpha(_: Run, inputs: Inputs) -> Result:
    """JoinImageWithAlpha: what is masked becomes transparent."""
    alphas: Pictures = inputs["alpha"]

    def joined(number: int, picture: Picture) -> Picture:
        with_alpha = picture.convert("RGBA")
        mask = alphas[number % len(alphas)].resize(picture.size)
        with_alpha.putalpha(ImageOps.invert(mask))
        return with_alpha

    pairs = enumerate(inputs["image"])
    return Result(([joined(number, picture) for number, picture in pairs],))


def split_alpha(_: Run, inputs: Inputs) -> Result:
    """SplitImageWithAlpha."""
    pictures: Pictures = inputs["image"]
    masks = [ImageOps.invert(picture.convert("RGBA").getchannel("A")) for picture in pictures]
    return Result((each(pictures, lambda picture: picture.convert("RGB")), masks))


MASKS: dict[str, Runner] = {
    "MaskToImage": on_each("mask", lambda mask, _: mask.convert("RGB")),
    "ImageToMask": on_each("image", lambda picture, inputs: channel(picture, inputs["channel"])),
    "ImageColorToMask": on_each("image", _from_color),
    "SolidMask": solid,
    "InvertMask": on_each("mask", lambda mask, _: ImageOps.invert(mask)),
    "CropMask": on_each("mask", _crop),
    "FeatherMask": on_each("mask", _feather),
    "GrowMask": on_each("mask", _grow),
    "ThresholdMask": on_each("mask", _threshold),
    "MaskComposite": compose,
    "JoinImageWithAlpha": join_alpha,
    "SplitImageWithAlpha": split_alpha,
}
