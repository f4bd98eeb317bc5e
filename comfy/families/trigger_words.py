"""The words that wake a LoRA, as its trainer wrote them into the file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

WORDS_MAX: Final = 16
WORD_MAX: Final = 100
"""The longest word or phrase in characters; longer ones are descriptions."""
_JSON_MAX: Final = 8 * 1024 * 1024
_TAGS_MAX: Final = 3
"""If more tags than these stand at every image, none of them is *the* word."""
_NEARLY_ALL: Final = 0.95
_ANYTHING: Final = frozenset(
    {"1girl", "1boy", "solo", "girl", "boy", "woman", "man", "person", "looking at viewer",
     "simple background", "white background", "masterpiece", "best quality", "style", "img",
     "image", "images", "dataset", "data", "train", "training"}
)  # fmt: skip
"""What stands at every image of many data sets, or names their folders."""
_FOLDER: Final = re.compile(r"[0-9]{1,6}_(.+)", re.DOTALL)


def trigger_words(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Returns a LoRA's words, the likeliest first; none if its metadata tells none.

    Its author's phrase counts alone. Otherwise they are the tags that stand at nearly every image
    it was trained with, and the names of their folders, by the custom of sd-scripts.
    """
    phrase = _phrases(metadata.get("modelspec.trigger_phrase", ""))
    found = list(phrase) or list(_from_tags(metadata))
    return tuple(dict.fromkeys(found))[:WORDS_MAX]


def _phrases(text: str) -> Iterator[str]:
    for part in text[: WORDS_MAX * WORD_MAX].split(","):
        word = _clean(part)
        if word:
            yield word


def _from_tags(metadata: Mapping[str, str]) -> Iterator[str]:
    folders = _object(metadata.get("ss_tag_frequency", ""))
    images = _object(metadata.get("ss_dataset_dirs", ""))
    for name, tags in list(folders.items())[:WORDS_MAX]:
        if isinstance(tags, dict):
            yield from _common(tags, _count(images.get(name)))
        yield from _word_of(name)


def _common(tags: Mapping[str, Any], images: int) -> Iterator[str]:
    """Returns the tags that stand at nearly all images, if they are few."""
    counts = Counter({tag: count for tag, count in tags.items() if _is_count(count)})
    most = max(counts.values(), default=0)
    wanted = max(1, _NEARLY_ALL * (images or most))
    found = [tag for tag, count in counts.items() if count >= wanted]
    words = [word for tag in found if (word := _clean(tag)).lower() not in _ANYTHING and word]
    if len(words) <= _TAGS_MAX:
        yield from words


def _word_of(folder: str) -> Iterator[str]:
    """Returns what a folder such as ``10_mychar`` is called, without how often it is repeated."""
    found = _FOLDER.fullmatch(folder)
    word = _clean(found[1]) if found else ""
    if word and word.lower() not in _ANYTHING:
        yield word


def _object(text: str) -> dict[str, Any]:
    if not 2 <= len(text) <= _JSON_MAX:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _count(folder: Any) -> int:
    count = folder.get("img_count") if isinstance(folder, dict) else None
    return count if isinstance(count, int) and _is_count(count) else 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def _clean(text: str) -> str:
    """Returns a word that can be shown, empty for what is none."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * WORD_MAX])
    word = " ".join(printable.split())
    return word if len(word) <= WORD_MAX else ""
