"""What people write into prompts besides words: LoRAs and embeddings.

``<lora:name:0.8>`` is AUTOMATIC1111's way to say a LoRA; ComfyUI knows nothing of it. With a third
number, ``<lora:name:0.5:0.8>``, the first is for the text encoder. ``embedding:name`` is ComfyUI's
own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

_LORA: Final = re.compile(
    r"(?<!\s)\s*<lora:([^:<>\r\n]{1,255})((?::[^:<>\r\n]{0,40})*)>", re.IGNORECASE
)
"""A tag with the blanks before it, which are looked at from their first one only: a long row of
them would be read over and over."""
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,6}(?:\.\d{0,12})?|\.\d{1,12})")
_EMBEDDING: Final = re.compile(r"(?<![\w-])embedding:([^\s,;:()\[\]<>|]{1,255})")
_WEIGHT: Final = re.compile(r"\([^()\\:]{1,200}:\s*[+-]?(?:\d{1,4}(?:\.\d{0,9})?|\.\d{1,9})\s*\)")
EXTENSIONS: Final = (".safetensors", ".pt", ".bin", ".ckpt", ".pth", ".sft")


@dataclass(frozen=True)
class LoraTag:
    """A LoRA as a prompt names it; ``strength_clip`` is None where it is the same."""

    name: str
    strength: float = 1.0
    strength_clip: float | None = None


class LoraTagError(ValueError):
    """A tag whose strength is no number; the message says which."""


@dataclass(frozen=True)
class Tagged:
    """A prompt without its tags."""

    text: str
    loras: tuple[LoraTag, ...]


def without_tags(text: str) -> Tagged:
    """Returns the prompt without the LoRAs that it names, and these. Raises LoraTagError."""
    found = tuple(_tag(match) for match in _LORA.finditer(text))
    return Tagged(_LORA.sub("", text).strip() if found else text, found)


def _tag(match: re.Match[str]) -> LoraTag:
    name = match[1].strip()
    numbers = [part.strip() for part in match[2].split(":")[1:]]
    if len(numbers) > 2 or not all(_NUMBER.fullmatch(one) for one in numbers):
        raise LoraTagError(f"{match[0].strip()}: write <lora:name:strength>, as <lora:{name}:0.8>")
    if not numbers:
        return LoraTag(name)
    if len(numbers) == 1:
        return LoraTag(name, float(numbers[0]))
    return LoraTag(name, float(numbers[1]), float(numbers[0]))


def embeddings_in(text: str) -> tuple[str, ...]:
    """Returns the embeddings that a prompt names, each once."""
    if "embedding:" not in text:
        return ()
    return tuple(dict.fromkeys(match[1] for match in _EMBEDDING.finditer(text)))


def file_named(name: str, files: Sequence[str]) -> str | None:
    """Returns the file that a name stands for: itself, without its extension, or in a subfolder.

    The first that fits in this order; None for none. Upper and lower case are alike, as are the
    two slashes.
    """
    wanted = _plain(name)
    if not wanted:
        return None
    for key, sought in _WAYS:
        for file in files:
            if key(file) == sought(wanted):
                return file
    return None


def _plain(name: str) -> str:
    return name.replace("\\", "/").casefold()


def _bare(name: str) -> str:
    plain = _plain(name)
    return next((plain.removesuffix(it) for it in EXTENSIONS if plain.endswith(it)), plain)


def _last(name: str) -> str:
    return _plain(name).rpartition("/")[2]


def _last_bare(name: str) -> str:
    return _bare(name).rpartition("/")[2]


def _same(name: str) -> str:
    return name


_WAYS: Final[tuple[tuple[Callable[[str], str], Callable[[str], str]], ...]] = (
    (_plain, _same),
    (_bare, _bare),
    (_last, _same),
    (_last_bare, _bare),
)
"""How files and names are compared, the closest way first."""


def has_embedding(name: str, embeddings: Sequence[str]) -> bool:
    """Whether ComfyUI finds an embedding by this name.

    It lists them without their extensions, takes one with or without, looks into subfolders, and
    tells upper from lower case (comfy/sd1_clip.py, load_embed).
    """
    plain = next((name.removesuffix(it) for it in EXTENSIONS if name.endswith(it)), name)
    wanted = {name, plain}
    return any(each in wanted or each.rpartition("/")[2] in wanted for each in embeddings)


def weighs_words(text: str) -> bool:
    """Whether a prompt gives words a weight: ``(fox:1.2)``."""
    return _WEIGHT.search(text) is not None
