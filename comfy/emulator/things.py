"""The small parts of a picture: boat, lighthouse, animals, weather."""

import math

from PIL import Image, ImageDraw

from .palette import Color, mix
from .scenery import Point, Scene, glow, ridge_line, smooth_mask

FURS: dict[str, tuple[Color, Color]] = {
    "fox": ((214, 98, 36), (250, 240, 226)),
    "cat": ((70, 62, 74), (226, 214, 206)),
    "wolf": ((112, 118, 130), (232, 234, 238)),
}


def add_boat_and_shore(scene: Scene) -> None:
    """A sailing boat, a headland with a lighthouse, where asked for."""
    if "boat" in scene.things:
        _add_boat(scene)
    if "lighthouse" in scene.things:
        _add_headland(scene)


def _add_boat(scene: Scene) -> None:
    x = scene.width * scene.layout.uniform(0.25, 0.75)
    y = scene.height * (scene.horizon + 0.1)
    size = scene.unit * 0.11
    hull: list[Point] = [(-0.5, 0.0), (0.55, 0.0), (0.35, 0.22), (-0.35, 0.22)]
    sail: list[Point] = [(0.02, -1.1), (0.02, -0.08), (-0.45, -0.08)]
    jib: list[Point] = [(0.07, -0.95), (0.07, -0.08), (0.48, -0.08)]
    for shape, color in (
        (hull, scene.palette.near),
        (sail, mix((255, 255, 255), scene.palette.light, 0.4)),
        (jib, mix((255, 255, 255), scene.palette.haze, 0.5)),
    ):
        _fill(scene, [(x + px * size, y + py * size) for px, py in shape], color)


def _add_headland(scene: Scene) -> None:
    right = scene.light_x < 0.5
    width, height = scene.canvas.size
    line = ridge_line(scene.layout, 5, 0.25)
    points: list[Point] = []
    for index, value in enumerate(line):
        part = index / (len(line) - 1)
        rise = (1 - math.cos(min(1.0, part * 1.6) * math.pi)) / 2
        y = height * (scene.horizon + 0.3 - 0.27 * rise - 0.03 * value * rise)
        x = width * (0.5 + 0.5 * part)
        points.append((x if right else width - x, y))
    outer = width if right else 0.0
    inner = width * 0.42 if right else width * 0.58
    shape = [*points, (outer, float(height)), (inner, float(height))]
    _fill(scene, shape, mix(scene.palette.near, (0, 0, 0), 0.15))
    place = points[round(len(points) * 0.62)]
    _add_lighthouse(scene, (place[0], place[1] + scene.unit * 0.02))


def _add_lighthouse(scene: Scene, foot: Point) -> None:
    x, y = foot
    tall, wide = scene.unit * 0.34, scene.unit * 0.032
    bands = 6
    for band in range(bands):
        low, high = band / bands, (band + 1) / bands
        color = (186, 54, 46) if band % 2 else (238, 234, 224)
        color = mix(color, scene.palette.near, 0.45 if scene.palette.night else 0.18)
        half_low, half_high = wide * (1 - 0.42 * low), wide * (1 - 0.42 * high)
        shape = [
            (x - half_low, y - tall * low),
            (x + half_low, y - tall * low),
            (x + half_high, y - tall * high),
            (x - half_high, y - tall * high),
        ]
        _fill(scene, shape, color)
    top = y - tall
    lamp = (x, top - wide * 0.6)
    for direction in (-1, 1):
        _beam(scene, lamp, direction)
    box = [(x - wide * 0.45, top), (x + wide * 0.45, top)]
    room = [*box, (x + wide * 0.45, top - wide * 1.1), (x - wide * 0.45, top - wide * 1.1)]
    _fill(scene, room, (255, 236, 170))
    roof = [(x - wide * 0.7, top - wide), (x + wide * 0.7, top - wide), (x, top - wide * 2)]
    _fill(scene, roof, mix((120, 30, 30), scene.palette.near, 0.5))
    rail = wide * 0.85
    gallery = [(x - rail, top - wide * 0.12), (x + rail, top - wide * 0.12)]
    _fill(
        scene,
        [*gallery, (x + rail, top + wide * 0.12), (x - rail, top + wide * 0.12)],
        scene.palette.near,
    )
    glow(scene, lamp, wide * 5, (255, 240, 180), 0.9)


def _beam(scene: Scene, lamp: Point, direction: int) -> None:
    reach, spread = scene.width * 0.9, scene.unit * 0.16
    x, y = lamp
    left = min(x, x + direction * reach)
    size = (max(2, round(reach / 4)), max(2, round(spread / 2)))
    near, far = (0.0, size[0]) if direction > 0 else (size[0], 0.0)
    middle = size[1] / 2
    mask = smooth_mask(size, [[(near, middle), (far, 0.0), (far, size[1])]])
    fade = Image.linear_gradient("L").rotate(-90 if direction > 0 else 90)
    fade = fade.point([value // 2 for value in range(256)]).resize(size)
    faded = Image.composite(fade, Image.new("L", size), mask)
    strength = faded.point([round(v * (0.75 if scene.palette.night else 0.5)) for v in range(256)])
    full = strength.resize((round(reach), round(spread)), Image.Resampling.BILINEAR)
    scene.canvas.paste((255, 244, 200), (round(left), round(y - spread / 2)), full)


def add_animals(scene: Scene) -> None:
    """One animal, sitting, with its tail around it."""
    for name, (fur, chest) in FURS.items():
        if name in scene.things:
            x = scene.width * scene.layout.uniform(0.3, 0.7)
            _add_animal(scene, (x, scene.height * 0.9), fur, chest, bushy=name != "cat")
            return


def _add_animal(scene: Scene, foot: Point, fur: Color, chest: Color, *, bushy: bool) -> None:
    side = max(8, round(scene.unit * 0.36))
    scale = side / 100
    big = Image.new("RGBA", (side * 3, side * 3))
    draw = ImageDraw.Draw(big)
    shade, dark = mix(fur, (0, 0, 0), 0.3), mix(fur, (10, 8, 16), 0.8)

    def place(*numbers: float) -> list[float]:
        return [number * scale * 3 for number in numbers]

    if bushy:
        draw.ellipse(place(54, 56, 98, 92), fill=shade)
        draw.ellipse(place(82, 55, 99, 76), fill=chest)
    else:
        draw.arc(place(56, 40, 96, 96), 290, 120, fill=shade, width=round(7 * scale * 3))
    draw.ellipse(place(26, 44, 72, 98), fill=fur)
    draw.ellipse(place(22, 72, 44, 98), fill=shade)
    draw.ellipse(place(54, 72, 76, 98), fill=shade)
    draw.ellipse(place(38, 52, 60, 92), fill=chest)
    for paw in (39, 50):
        draw.rounded_rectangle(place(paw, 74, paw + 9, 98), radius=4 * scale * 3, fill=fur)
        draw.ellipse(place(paw - 1, 91, paw + 10, 99), fill=dark if bushy else chest)
    for ear in ((24, 32, 27, 4, 45, 20), (74, 32, 71, 4, 53, 20)):
        draw.polygon(place(*ear), fill=fur)
    for inner in ((29, 26, 30, 11, 39, 21), (69, 26, 68, 11, 59, 21)):
        draw.polygon(place(*inner), fill=dark)
    draw.polygon(place(22, 34, 34, 18, 64, 18, 76, 34, 60, 52, 49, 60, 38, 52), fill=fur)
    for cheek in ((22, 34, 40, 38, 49, 60, 36, 50), (76, 34, 58, 38, 49, 60, 62, 50)):
        draw.polygon(place(*cheek), fill=chest)
    for eye in (38, 56):
        draw.ellipse(place(eye, 32, eye + 4.5, 38), fill=(24, 18, 20))
        draw.ellipse(place(eye + 1, 33, eye + 2.6, 34.8), fill=(255, 255, 255))
    draw.ellipse(place(45.5, 53, 52.5, 58.5), fill=(28, 20, 22))
    small = big.resize((side, side), Image.Resampling.BOX)
    night = Image.new("RGBA", small.size, (*scene.palette.near, 255))
    lit = Image.blend(small, night, 0.3 if scene.palette.night else 0.08)
    corner = (round(foot[0] - side / 2), round(foot[1] - side))
    scene.canvas.paste(lit.convert("RGB"), corner, small.getchannel("A"))


def add_weather(scene: Scene) -> None:
    """Snow, rain, lightning, embers, flowers, birds."""
    if "flowers" in scene.things:
        _add_flowers(scene)
    if "birds" in scene.things:
        _add_birds(scene)
    if "lightning" in scene.things:
        _add_lightning(scene)
    if "rain" in scene.things:
        _add_rain(scene)
    if "snow" in scene.things:
        _scatter(scene, 260, (0.0012, 0.0045), (255, 255, 255))
    if "embers" in scene.things:
        _scatter(scene, 130, (0.0010, 0.0032), (255, 190, 90))


def _scatter(scene: Scene, count: int, radii: tuple[float, float], color: Color) -> None:
    mask = Image.new("L", scene.canvas.size)
    draw = ImageDraw.Draw(mask)
    for _ in range(round(count * (0.5 + 0.5 * scene.detail))):
        x, y = scene.grain.random() * scene.width, scene.grain.random() * scene.height
        radius = max(0.6, scene.unit * scene.grain.uniform(*radii))
        alpha = scene.grain.randint(90, 235)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=alpha)
    scene.canvas.paste(color, (0, 0), mask)


def _add_rain(scene: Scene) -> None:
    mask = Image.new("L", scene.canvas.size)
    draw = ImageDraw.Draw(mask)
    for _ in range(round(260 * (0.5 + 0.5 * scene.detail))):
        x, y = scene.grain.random() * scene.width * 1.2, scene.grain.random() * scene.height
        length = scene.unit * scene.grain.uniform(0.02, 0.06)
        ends = (x, y, x - length * 0.3, y + length)
        draw.line(ends, fill=scene.grain.randint(30, 90), width=max(1, scene.unit // 500))
    scene.canvas.paste((225, 235, 242), (0, 0), mask)


def _add_lightning(scene: Scene) -> None:
    x, y = scene.width * scene.layout.uniform(0.2, 0.8), 0.0
    draw = ImageDraw.Draw(scene.canvas)
    points: list[Point] = [(x, y)]
    while y < scene.height * scene.horizon * 0.92:
        x += scene.unit * scene.layout.uniform(-0.06, 0.06)
        y += scene.unit * scene.layout.uniform(0.02, 0.07)
        points.append((x, y))
    glow(scene, points[len(points) // 2], scene.unit * 0.4, (205, 215, 255), 0.45)
    draw.line(points, fill=(190, 200, 255), width=max(2, scene.unit // 110), joint="curve")
    draw.line(points, fill=(255, 255, 255), width=max(1, scene.unit // 260), joint="curve")


def _add_flowers(scene: Scene) -> None:
    draw = ImageDraw.Draw(scene.canvas)
    colors = ((236, 92, 118), (250, 206, 84), (246, 244, 236), (166, 118, 222), (240, 140, 80))
    start = scene.horizon + 0.14
    for index in range(round(150 * (0.5 + 0.5 * scene.detail))):
        depth = index / 150
        y = scene.height * (start + (1 - start) * depth + scene.layout.uniform(0, 0.05))
        x = scene.layout.random() * scene.width
        radius = scene.unit * (0.002 + 0.009 * depth) * scene.layout.uniform(0.7, 1.3)
        color = mix(scene.layout.choice(colors), scene.palette.haze, 0.25 * (1 - depth))
        draw.ellipse((x - radius, y - radius * 0.8, x + radius, y + radius * 0.8), fill=color)


def _add_birds(scene: Scene) -> None:
    draw = ImageDraw.Draw(scene.canvas)
    center = scene.width * scene.layout.uniform(0.3, 0.7), scene.height * 0.28
    color = mix(scene.palette.near, scene.palette.sky[1], 0.25)
    for _ in range(7):
        x = center[0] + scene.unit * scene.layout.uniform(-0.16, 0.16)
        y = center[1] + scene.unit * scene.layout.uniform(-0.08, 0.08)
        wing = scene.unit * scene.layout.uniform(0.008, 0.017)
        width = max(1, scene.unit // 300)
        draw.arc((x - wing * 2, y - wing / 2, x, y + wing), 190, 340, fill=color, width=width)
        draw.arc((x, y - wing / 2, x + wing * 2, y + wing), 200, 350, fill=color, width=width)


def _fill(scene: Scene, shape: list[Point], color: Color) -> None:
    """Fill a polygon with smooth edges, working only on the pixels it touches."""
    left, top = (math.floor(min(point[axis] for point in shape)) for axis in (0, 1))
    right, bottom = (math.ceil(max(point[axis] for point in shape)) for axis in (0, 1))
    size = (max(1, right - left), max(1, bottom - top))
    moved = [(x - left, y - top) for x, y in shape]
    scene.canvas.paste(color, (left, top), smooth_mask(size, [moved]))
