"""Amounts and names in words, the same on the page and in the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher, get_close_matches
from heapq import nlargest
from typing import Final

import humanize

NAME_SHOWN: Final = 100
"""How many characters of a name are echoed."""
_COMPARED: Final = 300
"""How many characters of a name are compared with others."""
_SEARCHED_MAX: Final = 5_000
"""How many names are looked through for near ones."""
_WEIGHED_MAX: Final = 100
"""How many of them are compared in full, which is slow: those that have most characters alike."""
NEAREST: Final = 3
"""How many near matches are named."""


def figure(value: float) -> str:
    """Returns a number with all its digits: ``9,007,199,254,740,991``, ``0.5``."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,g}"


def duration(seconds: float) -> str:
    """Seconds in words: ``40 seconds``, ``12 minutes``, ``3 hours and 30 minutes``."""
    if seconds < 1:
        return "under a second"
    unit = "seconds" if seconds < 90 else "minutes"
    rounded = timedelta(seconds=round(seconds))
    return humanize.precisedelta(rounded, minimum_unit=unit, format="%.0f")


def brief(seconds: float) -> str:
    """Seconds with units: ``0.6 s``, ``40 s``, ``12 min``, ``3 h 30 min``, ``2 d 4 h``."""
    if seconds < 0.95:
        return f"{max(0.1, seconds):.1f} s"
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return _two(minutes, 60, "h", "min")
    return _two(round(minutes / 60), 24, "d", "h")


def _two(amount: int, many: int, unit: str, smaller: str) -> str:
    whole, rest = divmod(amount, many)
    return f"{whole} {unit} {rest} {smaller}" if rest else f"{whole} {unit}"


def about(seconds: float) -> str:
    """An estimate in words: ``about 12 minutes``, ``under a second``."""
    words = duration(seconds)
    return words if seconds < 1 else f"about {words}"


def place_in_queue(ahead: int) -> str:
    """Returns for example "3rd in queue"; ``ahead`` is the number of generations before it."""
    return "next in queue" if ahead == 0 else f"{humanize.ordinal(ahead + 1)} in queue"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, roughly: ``5 minutes ago``, a date after a day. ``now``: the current time."""
    passed = (now or datetime.now(UTC)) - moment
    if passed >= timedelta(days=1):
        return f"{moment.day} {moment:%b %Y}"
    return "just now" if passed < timedelta(minutes=1) else humanize.naturaltime(passed)


def written(name: str) -> str:
    """Returns a name as messages echo it: short, printable and always encodable."""
    kept = "".join(one if one.isprintable() else "\ufffd" for one in name[:NAME_SHOWN])
    return f"{kept}…" if len(name) > NAME_SHOWN else kept


def nearest(name: str, known: Sequence[str], what: str) -> str:
    """Returns what there is instead of ``name``: up to three of ``what`` like it, and the count.

    A name that only looks the same is told apart. Of very many names the first are compared.
    """
    name = name[:_COMPARED]
    folded, compared = _folded(name), known[:_SEARCHED_MAX]
    twin = next((each for each in compared if _folded(each) == folded), None)
    if twin is not None:
        return f"there is {written(twin)}, which differs {_difference(name, twin)}"
    if not known:
        return f"there are no {what}"
    near = get_close_matches(name, _promising(name, compared), n=NEAREST, cutoff=0.5)
    if near:
        return f"near matches: {', '.join(map(written, near))} (of {len(known)} {what})"
    if len(known) <= NEAREST:
        return f"there are: {', '.join(map(written, known))}"
    return f"there are {len(known)} {what}, such as {written(known[0])}"


def _promising(name: str, known: Sequence[str]) -> Sequence[str]:
    """Returns the names that have most characters in common with it."""
    if len(known) <= _WEIGHED_MAX:
        return known
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(name)

    def likeness(each: str) -> float:
        matcher.set_seq1(each[:_COMPARED])
        return matcher.quick_ratio()

    return nlargest(_WEIGHED_MAX, known, key=likeness)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split())).casefold()


def _difference(name: str, twin: str) -> str:
    if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", twin):
        return "in how its accents are encoded (NFC and NFD)"
    if " ".join(name.split()) == " ".join(twin.split()):
        return "in blanks"
    return "in upper and lower case"


def model_name(name: str) -> str:
    """Returns a checkpoint's file name without folder and extension."""
    return name.rpartition("/")[2].removesuffix(".safetensors").removesuffix(".ckpt")


def listed(names: Sequence[str], most: int = 5) -> str:
    """Returns the first of the names, and how many there are besides: ``a, b and 3 more``."""
    shown = ", ".join(written(name) for name in names[:most])
    more = len(names) - most
    return f"{shown} and {more} more" if more > 0 else shown


def mask_misfit(mask: str, image: str) -> str:
    """Returns what is wrong with a mask of another size than its image: sizes as `512 × 384`."""
    return f"the mask is {mask} pixels, the image {image}: both must have one size"
