"""API keys and tokens that workflows hold in their widgets. They are never kept or shown.

A value is one by the name of its field, or by its own form. Of a longer text, such as a prompt,
only the key itself is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAMES: Final = re.compile(
    r"(^|[_\W])(api[_\- ]?keys?|apikey|access[_\- ]?keys?|token|bearer|secret([_\- ]?(key|token))?"
    r"|password|passwd|passphrase|authorization|credentials?)$",
    re.IGNORECASE,
)
_SPACED: Final = re.compile(r"(key|keys|password|passwd|passphrase|authorization)$", re.IGNORECASE)
"""Names of fields whose values may have blanks, and still are no prose."""
_WORDS: Final = re.compile(
    r"(trigger|instance|class|bos|eos|pad|unk|mask|start|end|stop|special|style|subject|concept"
    r"|image|video|audio|text|prompt|placeholder|initializer)[_\- ]?token$",
    re.IGNORECASE,
)
"""Tokens of models and prompts."""
_FORMS: Final = re.compile(
    r"(?<![A-Za-z0-9])("
    r"hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_\-]{16,}|AIza[A-Za-z0-9_\-]{30,}"
    r"|AKIA[A-Z0-9]{16}|r8_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|gsk_[A-Za-z0-9]{20,}"
    r"|comfyui-[0-9a-f]{32,}|xox[abps]-[A-Za-z0-9\-]{16,}"
    r"|(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"
    r"|(?<=[A-Za-z0-9_\-]{8}\.)eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"
    r")"
)
"""Prefixes that nothing else has.

What must be followed by something else is looked for once in a run of its characters, at its
beginning: a hostile text would else take time by the square of its length. A token that is glued
to other text keeps its header, which says only how it is signed.
"""
_MAYBE: Final = re.compile(
    r"(?<![A-Za-z0-9])(sk-[A-Za-z0-9_\-]{16,}|key-[A-Za-z0-9]{24,}"
    r"|[Bb]earer [A-Za-z0-9_\-.=+/]{16,})"
)
"""Prefixes that words may have, too: what follows must look like chance."""
_RUN: Final = re.compile(r"[A-Za-z0-9]{16,}")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+")
_IN_URLS: Final = re.compile(
    r"([?&](?:token|key|api_?key|access_token|auth|sig|signature)=)[^&#\s\"']{6,}"
    r"|(?<=://)[^/\s:@\"']{1,200}:[^/\s@\"']{1,200}@",
    re.IGNORECASE,
)
_SHORTEST: Final = 6


def is_key(name: str, value: Any) -> bool:
    """Whether a value is a key or a token as a whole, by the name of its field. A link is none."""
    if not isinstance(value, str):
        return False
    name, text = _CAMEL.sub("_", name), value.strip()
    if len(text) < _SHORTEST or not _NAMES.search(name) or _WORDS.search(name):
        return False
    return bool(_SPACED.search(name)) or not re.search(r"\s", text)


def without_keys(text: str) -> str:
    """Returns a text without the keys and tokens in it that can be told by their form."""
    text = _MAYBE.sub(lambda found: "" if _looks_like_chance(found[0]) else found[0], text)
    return _IN_URLS.sub(lambda found: found[1] or "", _FORMS.sub("", text))


def _looks_like_chance(text: str) -> bool:
    return any(not _WORD.fullmatch(run) for run in _RUN.findall(text))


def is_secret(name: str, value: Any) -> bool:
    """Whether a value, in a field of that name, is or holds a key or a token."""
    return isinstance(value, str) and (is_key(name, value) or without_keys(value) != value)


def without_values(document: Any, secrets: Iterable[str]) -> Any:
    """A copy of a document in which no text holds a secret: neither these nor any other."""
    known = frozenset(secrets)

    def cleaned(value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            return {key: cleaned(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [cleaned(inner, "") for inner in value]
        if isinstance(value, str):
            return "" if value in known or is_key(name, value) else without_keys(value)
        return value

    return cleaned(document, "")
