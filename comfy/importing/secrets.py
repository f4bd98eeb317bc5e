"""API keys and tokens that workflows hold in their widgets. They are never kept or shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_NAMES: Final = re.compile(
    r"(^|[_\W])(api[_\- ]?keys?|apikey|(access|auth|bearer|hf|api|civitai|secret)[_\- ]?token|token"
    r"|secret([_\- ]?key)?|password|passwd|passphrase|authorization|credentials?)$",
    re.IGNORECASE,
)
_VALUES: Final = re.compile(
    r"(?<![A-Za-z0-9])("
    r"sk-[A-Za-z0-9_\-]{16,}|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_\-]{16,}|AIza[A-Za-z0-9_\-]{30,}"
    r"|AKIA[A-Z0-9]{16}|r8_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|gsk_[A-Za-z0-9]{20,}"
    r"|key-[A-Za-z0-9]{24,}|comfyui-[0-9a-f]{32,}|xox[abps]-[A-Za-z0-9\-]{16,}"
    r"|eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"
    r"|[Bb]earer [A-Za-z0-9_\-.=]{20,}"
    r")"
)
_SHORTEST: Final = 6
_LONGEST: Final = 4_096


def is_secret(name: str, value: Any) -> bool:
    """Whether a value, in a field of that name, is a key or a token. A link is none."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return False
    if _VALUES.search(value):
        return True
    text = value.strip()
    return len(text) >= _SHORTEST and not re.search(r"\s", text) and bool(_NAMES.search(name))


def without_values(document: Any, secrets: Iterable[str]) -> Any:
    """A copy of a document in which no text holds a secret: neither these nor any other."""
    known = frozenset(secrets)

    def cleaned(value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            return {key: cleaned(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [cleaned(inner, "") for inner in value]
        if isinstance(value, str) and (value in known or is_secret(name, value)):
            return ""
        return value

    return cleaned(document, "")
