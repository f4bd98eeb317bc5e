"""The large parts of a picture: sky, light, clouds, ridges, water."""

import random
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw

from .palette import Color, Palette, mix

BICUBIC = Image.Resampling.BICUBIC
Point = tuple[float, float]


@dataclass
class Scene:
    """A picture in the making. Heights and places are parts of the picture, 0 to 1."""

    canvas: Image.Image
    palette: Palette
    things: set[str]
    layout: random.Random
    """For what is where."""
    grain: random.Random
    """For fine detail; differs with every input."""
    detail: float
    horizon: float
    light_x: float

    @property
    def width(self) -> int:
        """Pixels."""
        return self.canvas.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.canvas.height

    @property
    def unit(self) -> int:
        """The shorter side, in pixels."""
        return min(self.canvas.size)


def gradient(colors: tuple[Color, ...], size: tuple[int, int]) -> Image.Image:
    """A smooth vertical gradient."""
    strip = Image.new("RGB", (1, len(colors)))
    strip.putdata(colors)
    fine = strip.resize((1, max(1, min(size[1], 256))), BICUBIC)
    return fine.resize(size, Image.Resampling.BILINEAR)


def noise(rng: random.Random, size: tuple[int, int], columns: int, rows: int) -> Image.Image:
    """Soft noise: a small random grid, enlarged."""
    grid = Image.frombytes("L", (columns, rows), rng.randbytes(columns * rows))
    return grid.resize(size, BICUBIC)


def glow(scene: Scene, center: Point, radius: float, color: Color, strength: float) -> None:
    """Light that fades with the distance from `center` (pixels)."""
    size = max(2, round(radius * 2))
    falloff = [round(255 * strength * max(0.0, 1 - value / 180) ** 2) for value in range(256)]
    mask = Image.radial_gradient("L").point(falloff).resize((size, size), Image.Resampling.BILINEAR)
    corner = (round(center[0] - radius), round(center[1] - radius))
    scene.canvas.paste(color, (*corner, corner[0] + size, corner[1] + size), mask)


def smooth_mask(size: tuple[int, int], shapes: list[list[Point]]) -> Image.Image:
    """Polygons with smooth edges: drawn twice as large, then halved."""
    mask = Image.new("L", (size[0] * 2, size[1] * 2))
    draw = ImageDraw.Draw(mask)
    for shape in shapes:
        draw.polygon([(x * 2, y * 2) for x, y in shape], fill=255)
    return mask.reduce(2)


def add_sky(scene: Scene) -> None:
    """The gradient, stars at night, an aurora if asked for."""
    sky_height = max(1, round(scene.height * (scene.horizon + 0.06)))
    scene.canvas.paste(gradient(scene.palette.sky, (scene.width, sky_height)), (0, 0))
    if scene.palette.night:
        _add_stars(scene, sky_height)
    if "aurora" in scene.things:
        _add_aurora(scene, sky_height)


def _add_stars(scene: Scene, sky_height: int) -> None:
    draw = ImageDraw.Draw(scene.canvas)
    for _ in range(round(60 + 160 * scene.detail)):
        x = scene.layout.random() * scene.width
        y = scene.layout.random() ** 1.4 * sky_height * 0.9
        radius = scene.unit * scene.layout.choice((0.0008, 0.0010, 0.0014, 0.0022))
        color = mix(scene.palette.sky[1], (255, 252, 240), scene.layout.uniform(0.35, 1.0))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)


def _add_aurora(scene: Scene, sky_height: int) -> None:
    size = (scene.width, sky_height)
    for color, columns in (((90, 240, 170), 9), ((170, 110, 240), 7)):
        curtain = noise(scene.layout, size, columns, 2)
        fade = gradient(((0, 0, 0), (190, 190, 190), (60, 60, 60), (0, 0, 0)), size).convert("L")
        steep = curtain.point([max(0, value - 120) * 2 for value in range(256)])
        scene.canvas.paste(color, (0, 0), ImageChops.multiply(steep, fade))


def add_light(scene: Scene) -> None:
    """Sun or moon with its glow."""
    x = scene.width * scene.light_x
    night = scene.palette.night
    y = scene.height * (scene.horizon - scene.layout.uniform(0.12, 0.34) - 0.08 * night)
    radius = scene.unit * scene.layout.uniform(0.045, 0.075)
    strength = 0.35 if night else 0.85
    glow(scene, (x, y), radius * 7, scene.palette.light, strength * 0.7)
    glow(scene, (x, y), radius * 2.4, scene.palette.light, strength)
    size = max(2, round(radius * 2))
    mask = Image.new("L", (size * 4, size * 4))
    draw = ImageDraw.Draw(mask)
    draw.ellipse((0, 0, size * 4 - 1, size * 4 - 1), fill=255)
    if night:
        shift = size * scene.layout.choice((-1.3, 1.3, 5.0))
        draw.ellipse((shift, -size * 0.5, shift + size * 4, size * 3.5), fill=0)
    corner = (round(x - radius), round(y - radius))
    scene.canvas.paste(scene.palette.light, corner, mask.reduce(4))


def add_clouds(scene: Scene) -> None:
    """Drifting bands, from noise of several finenesses."""
    sky_height = max(8, round(scene.height * scene.horizon))
    small = (max(8, scene.width // 3), max(8, sky_height // 3))
    field = noise(scene.layout, small, 3, 5)
    for octave, share in ((2, 0.4), (4, 0.3), (8, 0.24)):
        field = Image.blend(field, noise(scene.layout, small, 3 * octave, 5 * octave), share)
    fine = noise(scene.grain, small, 56, 70)
    field = Image.blend(field, fine, 0.05 + 0.09 * scene.detail)
    cover = 118 if "rain" in scene.things else scene.layout.randint(128, 150)
    thickest = 225 if "rain" in scene.things else 165
    ramp = [max(0, min(thickest, (value - cover) * 5)) for value in range(256)]
    fade = Image.linear_gradient("L").point([255 - value * 3 // 4 for value in range(256)])
    mask = ImageChops.multiply(field.point(ramp), fade.resize(small))
    mask = mask.resize((scene.width, sky_height), BICUBIC)
    scene.canvas.paste(scene.palette.cloud, (0, 0), mask)


def ridge_line(rng: random.Random, octaves: int, roughness: float) -> list[float]:
    """Heights from 0 to 1 along a ridge, by midpoint displacement."""
    line = [rng.random(), rng.random(), rng.random()]
    spread = roughness
    for _ in range(octaves):
        finer = [line[0]]
        for left, right in pairwise(line):
            finer += [(left + right) / 2 + rng.uniform(-spread, spread), right]
        line = finer
        spread *= 0.5
    low, high = min(line), max(line)
    return [(value - low) / max(high - low, 1e-6) for value in line]


def add_ridges(scene: Scene, count: int, top: float, bottom: float) -> None:
    """Hills from far (hazy) to near (dark); trees or towers stand on the near ones."""
    peaks = "peaks" in scene.things
    snowy = peaks and "embers" not in scene.things
    for index in range(count):
        near = (index + 1) / count
        base = top + (bottom - top) * index / count
        tall = (0.30 if peaks else 0.17) * (1 - 0.55 * near) + 0.03
        octaves = 3 + round(4 * scene.detail * (1.0 if peaks else 0.8))
        line = ridge_line(scene.layout, octaves, 0.5 if peaks and index < 2 else 0.3)
        ceiling = base - (tall if peaks and index < 2 else tall * 0.6)
        # Colours come near faster than the hills do: the last one frames the picture.
        color = mix(scene.palette.haze, scene.palette.near, near**0.8)
        _add_ridge(scene, line, (ceiling, tall, bottom), color, near, snowy=snowy and index == 0)


def _add_ridge(
    scene: Scene,
    line: list[float],
    place: tuple[float, float, float],
    color: Color,
    near: float,
    *,
    snowy: bool,
) -> None:
    ceiling, tall, bottom = place
    margin = 0.1
    y0 = round((ceiling - margin) * scene.height)
    size = (scene.width, max(2, round(bottom * scene.height) - y0))
    step = scene.width / (len(line) - 1)
    points = [
        (i * step, (margin + tall * (1 - value)) * scene.height) for i, value in enumerate(line)
    ]
    shapes: list[list[Point]] = [[*points, (scene.width, size[1]), (0, size[1])]]
    shapes += _growth(scene, points, near)
    mask = smooth_mask(size, shapes)
    fade = mix(color, scene.palette.haze, 0.5 * (1 - near * 0.75))
    scene.canvas.paste(gradient((color, color, fade, fade), size), (0, y0), mask)
    if snowy:
        cap = _snow_cap(scene, points, tall * scene.height)
        white = mix((255, 255, 255), scene.palette.sky[-1], 0.25)
        scene.canvas.paste(white, (0, y0), smooth_mask(size, [cap]))
    if "city" in scene.things and near > 0.3:
        _light_windows(scene, shapes[1:], y0)


def _growth(scene: Scene, points: list[Point], near: float) -> list[list[Point]]:
    """What stands on a ridge: firs or towers."""
    if "city" in scene.things and 0.3 < near < 0.95:
        return _towers(scene, points, near)
    if "trees" in scene.things and near > 0.3:
        return _firs(scene, points, near)
    return []


def _firs(scene: Scene, points: list[Point], near: float) -> list[list[Point]]:
    firs = []
    for _ in range(round((26 + 34 * scene.detail) * (1.25 - near * 0.6))):
        x, y = scene.layout.choice(points)
        x += scene.layout.uniform(-0.02, 0.02) * scene.width
        tall = scene.unit * scene.layout.uniform(0.05, 0.1) * (0.4 + near)
        half = tall * 0.2
        foot = y + tall * 0.2
        for part in range(3):
            low = foot - tall * 0.27 * part
            wide = half * (1 - part * 0.24)
            firs.append([(x - wide, low), (x + wide, low), (x, low - tall * 0.5)])
    return firs


def _towers(scene: Scene, points: list[Point], near: float) -> list[list[Point]]:
    towers = []
    x = 0.0
    while x < scene.width:
        wide = scene.unit * scene.layout.uniform(0.03, 0.075) * (0.6 + near)
        tall = scene.unit * scene.layout.uniform(0.02, 0.13) * (1.3 - near * 0.5)
        at = points[min(len(points) - 1, int(x / scene.width * len(points)))][1] - tall
        foot = at + tall + scene.height
        towers.append([(x, at), (x + wide, at), (x + wide, foot), (x, foot)])
        x += wide * scene.layout.uniform(0.9, 1.5)
    return towers


def _light_windows(scene: Scene, towers: list[list[Point]], y0: int) -> None:
    draw = ImageDraw.Draw(scene.canvas)
    pane = max(1.0, scene.unit * 0.0045)
    bottom = scene.height * 0.97
    for (left, top), (right, _), *_ in towers:
        y = top + y0 + pane * 2
        while y < min(top + y0 + scene.unit * 0.2, bottom):
            x = left + pane * 1.5
            while x < right - pane * 2:
                if scene.layout.random() < 0.3:
                    warm = mix((255, 214, 130), (140, 220, 255), scene.layout.random() ** 3)
                    draw.rectangle((x, y, x + pane, y + pane), fill=warm)
                x += pane * 2.2
            y += pane * 2.6


def _snow_cap(scene: Scene, points: list[Point], tall: float) -> list[Point]:
    line = min(y for _, y in points) + tall * 0.55
    lower = [
        (x, max(y, min(line, y + (line - y) * scene.layout.uniform(0.35, 0.95)))) for x, y in points
    ]
    return [*points, *reversed(lower)]


def add_water(scene: Scene) -> None:
    """The sky upside down, darker, with ripples and the path of the light."""
    horizon = round(scene.height * scene.horizon)
    size = (scene.width, max(2, scene.height - horizon))
    above = scene.canvas.crop((0, max(0, horizon - size[1]), scene.width, horizon))
    mirror = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize(size)
    depth = gradient((scene.palette.sky[-2], scene.palette.sky[1], scene.palette.near), size)
    water = Image.blend(mirror, depth, 0.5)
    ripples = noise(scene.layout, size, 5, 46)
    ripples = Image.blend(ripples, noise(scene.grain, size, 14, 110), 0.3)
    bright = ripples.point([max(0, value - 140) for value in range(256)])
    dark = ripples.point([max(0, 110 - value) for value in range(256)])
    water.paste(scene.palette.sky[-1], (0, 0), bright)
    water.paste(scene.palette.near, (0, 0), dark)
    path = noise(scene.grain, size, 40, 90).point([max(0, value - 120) for value in range(256)])
    beam = Image.radial_gradient("L").point([max(0, 255 - value * 2) for value in range(256)])
    wide = max(2, scene.width // 3)
    spot = Image.new("L", size)
    spot.paste(
        beam.resize((wide, size[1] * 2)),
        (round(size[0] * scene.light_x) - wide // 2, -size[1] // 2),
    )
    glitter = ImageChops.multiply(path, spot).point([min(255, v * 3) for v in range(256)])
    water.paste(scene.palette.light, (0, 0), glitter)
    scene.canvas.paste(water, (0, horizon))


def add_vignette(scene: Scene) -> None:
    """Darker corners."""
    ramp = [max(0, value - 110) * 2 // 3 for value in range(256)]
    mask = Image.radial_gradient("L").point(ramp)
    mask = mask.resize(scene.canvas.size, Image.Resampling.BILINEAR)
    scene.canvas.paste((8, 6, 18), (0, 0), mask)
