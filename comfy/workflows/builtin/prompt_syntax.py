"""What people write into prompts besides words: LoRAs and embeddings.

``<lora:name:0.8>`` is AUTOMATIC1111's way to say a LoRA; ComfyUI knows nothing of it. With a third
number, ``<lora:name:0.5:0.8>``, the first is for the text encoder. ``embedding:name`` is ComfyUI's
own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_LORA: Final = re.compile(r"\s*<lora:([^:<>\r\n]{1,255})((?::[^:<>\r\n]{0,40})*)>", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,6}(?:\.\d{0,12})?|\.\d{1,12})")
_EMBEDDING: Final = re.compile(r"(?<![\w-])embedding:([^\s,;:()\[\]<>|]{1,255})", re.IGNORECASE)
_EXTENSIONS: Final = (".safetensors", ".pt", ".bin", ".ckpt", ".pth", ".sft")


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
    return tuple(dict.fromkeys(match[1] for match in _EMBEDDING.finditer(text)))


def file_named(name: str, files: Sequence[str]) -> str | None:
    """Returns the file that a name stands for: itself, without its extension, or in a subfolder.

    The first that fits in this order; None for none.
    """
    wanted = _bare(name)
    for key in (_same, _bare, _last):
        for file in files:
            if key(file) == (name if key is _same else wanted):
                return file
    return None


def _same(name: str) -> str:
    return name


def _bare(name: str) -> str:
    plain = name.replace("\\", "/").casefold()
    return next((plain.removesuffix(it) for it in _EXTENSIONS if plain.endswith(it)), plain)


def _last(name: str) -> str:
    return _bare(name).rpartition("/")[2]


def unknown_of(names: Iterable[str], files: Sequence[str]) -> tuple[str, ...]:
    """Returns the names that stand for no file."""
    return tuple(name for name in names if file_named(name, files) is None)
