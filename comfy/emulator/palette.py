"""Which colours and things a prompt calls for."""

import colorsys
import random
import re
from dataclasses import dataclass, replace

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """The colours of a scene; `sky` from the top down to the horizon."""

    sky: tuple[Color, ...]
    light: Color
    haze: Color
    near: Color
    cloud: Color
    night: bool = False

    def saturated(self, factor: float) -> "Palette":
        """The same with stronger or weaker colours."""
        return replace(
            self,
            sky=tuple(_saturated(color, factor) for color in self.sky),
            light=_saturated(self.light, factor),
            haze=_saturated(self.haze, factor),
            near=_saturated(self.near, factor),
            cloud=_saturated(self.cloud, factor),
        )


def _hex(*codes: str) -> tuple[Color, ...]:
    return tuple((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in codes)


def _palette(sky: str, light: str, haze: str, near: str, cloud: str) -> Palette:
    ends = _hex(light, haze, near, cloud)
    return Palette(_hex(*sky.split()), ends[0], ends[1], ends[2], ends[3])


PALETTES: dict[str, Palette] = {
    "dawn": _palette("2b3a67 6b6ca8 e39fa6 ffd9a0", "fff1c9", "e8a9a0", "2a2340", "f6c6b8"),
    "day": _palette("2f7fc4 6db3e2 b9def0 eef6ee", "fffdf0", "a9c8d6", "1f4a3d", "ffffff"),
    "dusk": _palette("201c47 5a2f6d c8506a ff9e5e", "ffd98a", "b4526f", "1b1230", "e2788a"),
    "night": _palette("060a1c 0d1a3a 1c3563 3d5f8c", "f3f1df", "35527f", "060b18", "33507e"),
    "storm": _palette("1b2129 323c48 566472 8a979e", "dfe8ea", "6d7b84", "12181d", "2b333d"),
    "sea": _palette("1d5f8f 4f9fc0 9bd0d8 f4ead0", "fff8dc", "8fbcc6", "12364a", "f7fbfa"),
    "forest": _palette("3f7f86 83b6a0 c9dcae f3efc6", "fffbe0", "9dbf9a", "10301f", "f6f7e6"),
    "fire": _palette("1a0508 5a0f12 c2381a ffae42", "fff0b0", "a53a1f", "160507", "6b1a14"),
    "snow": _palette("6f93b8 a5c1da d5e3ee f7f8fa", "ffffff", "b9cddf", "4a637e", "ffffff"),
    "desert": _palette("3b6fa3 8fb5c4 f2d7a4 f8b878", "fff6d8", "dca678", "6b2f1d", "fdebd0"),
    "dream": _palette("2a1a5e 6f3fa8 d86fc0 ffc4d6", "fff0f6", "b06fc6", "1d0f3c", "f3a8dc"),
    "spring": _palette("4f9bd0 93c9e6 d8eedd fdf3dc", "fffbe6", "b8d8b8", "2f5a35", "ffffff"),
}
PALETTES["night"] = replace(PALETTES["night"], night=True)
UNNAMED = ("dawn", "day", "dusk", "night", "sea", "forest", "desert", "dream", "spring")
"""For a prompt that names none, its hash chooses."""

PALETTE_WORDS = {
    "night": "night midnight moon moonlight star stars starry galaxy space nebula dark aurora city "
    "neon cyberpunk",
    "dawn": "dawn sunrise morning pastel pink",
    "dusk": "dusk sunset evening twilight golden autumn",
    "storm": "storm stormy thunder lightning rain rainy rough gray grey wrecked ruin",
    "fire": "fire flame flames volcano lava burning dragon hell",
    "snow": "snow snowy ice icy winter frozen arctic glacier white",
    "desert": "desert dune dunes sand canyon mars camel pyramid orange",
    "forest": "forest woods jungle tree trees pine moss green fox deer bear",
    "sea": "sea ocean beach island lake harbor harbour ship boat coast blue fish whale lighthouse",
    "dream": "dream dreamy magic magical fantasy purple unicorn fairy surreal wizard",
    "spring": "spring flower flowers meadow garden field blossom cottage rabbit",
    "day": "day noon sunny summer sky mountain mountains valley",
}
THING_WORDS = {
    "water": "sea ocean beach island lake harbor harbour ship boat coast whale lighthouse river "
    "fish",
    "lighthouse": "lighthouse beacon",
    "boat": "boat ship sail sailing sailboat",
    "trees": "forest woods jungle tree trees pine fox deer bear cabin wolf owl",
    "peaks": "mountain mountains peak alps everest glacier valley dragon volcano",
    "city": "city town skyline cyberpunk street tokyo york london paris neon skyscraper robot",
    "snow": "snow snowy winter blizzard frozen arctic",
    "rain": "rain rainy storm stormy thunder",
    "lightning": "thunder lightning storm stormy",
    "embers": "fire flame flames volcano lava burning dragon spark sparks firefly fireflies",
    "flowers": "flower flowers meadow garden blossom spring field roses tulips",
    "aurora": "aurora borealis northern nebula galaxy",
    "fox": "fox foxes",
    "cat": "cat cats kitten",
    "wolf": "wolf dog puppy husky",
    "birds": "bird birds gull gulls seagull crow crows eagle autumn sunset sea ocean",
}


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, in order."""
    return re.findall(r"\w+", text.lower())


def choose_palette(prompt: str, rng: random.Random) -> Palette:
    """The palette of the first word that names one; else by chance."""
    by_word = {word: name for name, words in PALETTE_WORDS.items() for word in words.split()}
    by_chance = rng.choice(UNNAMED)
    times = [by_word[word] for word in words_of(prompt) if word in by_word]
    # The light of the day says more about colours than the thing that is lit by it.
    for name in times:
        if name in ("night", "dawn", "dusk", "storm", "fire", "snow"):
            return PALETTES[name]
    return PALETTES[times[0] if times else by_chance]


def choose_things(prompt: str, negative: str) -> set[str]:
    """What is in the picture: named in the prompt and not in the negative prompt."""
    wanted, unwanted = set(words_of(prompt)), set(words_of(negative))
    return {
        thing
        for thing, words in THING_WORDS.items()
        if wanted.intersection(words.split()) and not unwanted.intersection(words.split())
    }


def mix(one: Color, other: Color, amount: float) -> Color:
    """From `one` (0) to `other` (1)."""
    mixed = [round(a + (b - a) * amount) for a, b in zip(one, other, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _saturated(color: Color, factor: float) -> Color:
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in color))
    parts = colorsys.hls_to_rgb(hue, lightness, min(1.0, saturation * factor))
    return round(parts[0] * 255), round(parts[1] * 255), round(parts[2] * 255)
