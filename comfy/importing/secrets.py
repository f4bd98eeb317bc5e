"""API keys and tokens that workflows hold in their widgets. They are never kept or shown.

A value is one by the name of its field, or by its own form. Of a longer text, such as a prompt,
only the key itself is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAMES: Final = re.compile(
    r"(^|[_\W])(api[_\- ]?keys?|apikey|access[_\- ]?keys?|token|bearer|secret([_\- ]?(key|token))?"
    r"|password|passwd|passphrase|authorization|credentials?)$",
    re.IGNORECASE,
)
_PROVIDERS: Final = re.compile(
    r"(^|[_\W])(openai|anthropic|claude|gemini|google|azure|aws|deepseek|mistral|groq|grok|xai"
    r"|openrouter|together|replicate|fal|civitai|hf|huggingface|stability|bfl|kling|luma|runway"
    r"|minimax|ideogram|recraft|elevenlabs|deepl|github|comfy|service|account|auth|private)"
    r"[_\- ]?keys?$",
    re.IGNORECASE,
)
_BARE: Final = re.compile(r"(^|[_\W])keys?$", re.IGNORECASE)
"""Names of fields that may hold anything: their values are keys only if they look like chance."""
_ENDINGS: Final = re.compile(r"[_\- ](value|string|str)$", re.IGNORECASE)
"""What the name of a field may add to that of its value."""
_WRAPPED: Final = "__value__"
"""Where the API format puts a list, so that it is taken for no link."""
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
_UUID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Z]?[a-z]+")
_WORDS_ONLY: Final = re.compile(r"(([A-Z]?[a-z]{1,15}|[A-Z]{1,15})([_\-.](?!$)|$))+")
"""Such as ``default``: other fields may have the same value, which says nothing."""
_IN_URLS: Final = re.compile(
    r"([?&](?:token|key|api_?key|access_token|auth|sig|signature)=)[^&#\s\"']{6,}"
    r"|(?<=://)[^/\s:@\"']{1,200}:[^/\s@\"']{1,200}@",
    re.IGNORECASE,
)
_SHORTEST: Final = 6
_NAME_END: Final = 100
"""How many characters of a field's name are looked at: its end says what it is."""


def is_key(name: str, value: Any) -> bool:
    """Whether a value is a key or a token as a whole, by the name of its field. A link is none."""
    if not isinstance(value, str):
        return False
    name, text = _ENDINGS.sub("", _CAMEL.sub("_", name[-_NAME_END:])), value.strip()
    if len(text) < _SHORTEST or _WORDS.search(name):
        return False
    has_blanks = bool(re.search(r"\s", text))
    if _NAMES.search(name) or _PROVIDERS.search(name):
        return bool(_SPACED.search(name)) or not has_blanks
    return bool(_BARE.search(name)) and not has_blanks and _looks_like_chance(text)


def keys_of(name: str, value: Any) -> Iterator[str]:
    """Yields the keys and tokens that a value is or, if it is a list, has in it."""
    for inner in _values_of(value):
        if is_key(name, inner):
            yield inner


def _values_of(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from _values_of(value.get(_WRAPPED))
    elif isinstance(value, list) and not _is_link(value):
        for inner in value:
            yield from _values_of(inner)
    else:
        yield value


def _is_link(value: list[Any]) -> bool:
    return len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def without_keys(text: str) -> str:
    """Returns a text without the keys and tokens in it that can be told by their form."""
    text = _MAYBE.sub(lambda found: "" if _looks_like_chance(found[0]) else found[0], text)
    return _IN_URLS.sub(lambda found: found[1] or "", _FORMS.sub("", text))


def _looks_like_chance(text: str) -> bool:
    runs = _RUN.findall(text)
    return any(not _WORD.fullmatch(run) for run in runs) or bool(_UUID.search(text))


def without_values(document: Any, secrets: Iterable[str]) -> Any:
    """A copy of a document in which no text holds a secret: neither these nor any other.

    Of ``secrets``, those that are words are left out by the names of their fields only: the same
    word elsewhere is none.
    """
    known = frozenset(value for value in secrets if not _WORDS_ONLY.fullmatch(value))

    def cleaned(value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            return {
                key: cleaned(inner, name if key == _WRAPPED else key)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            inside = "" if _is_link(value) else name
            return [cleaned(inner, inside) for inner in value]
        if isinstance(value, str):
            return "" if value in known or is_key(name, value) else without_keys(value)
        return value

    return cleaned(document, "")
