"""``Prefer``: what a client would like of an answer (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from fastapi import Header
from pydantic import WithJsonSchema

WAIT_MAX_S: Final = 60
"""The longest wait, in seconds; a client that asks for more waits so long."""
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_MEMBER: Final = re.compile(rf'(?:{_QUOTED}|[^,"])+')
_PREFERENCE: Final = re.compile(
    rf'[ \t]*(?P<name>[^\s=;"]+)(?:[ \t]*=[ \t]*(?P<value>{_QUOTED}|[^\s;"]*))?[ \t]*(?:;.*)?',
    re.DOTALL,
)
_SECONDS: Final = re.compile("[0-9]+")
_LENGTH_MAX: Final = 1000
"""Characters of all headers together; longer ones are ignored: reading takes their square."""
_DIGITS_MAX: Final = 9  # int() of thousands of digits takes long

Prefer = Annotated[
    list[str] | None,
    WithJsonSchema({"type": "string", "examples": ["wait=10"]}),
    Header(
        description="`wait=N`: answer when it has ended, or after N seconds (60 at most). "
        "`Preference-Applied` says how long it waited at most. Other preferences are ignored."
    ),
]
"""Every header of that name: several say the same as one with all of their preferences."""


def wait_of(prefer: Sequence[str] | None) -> int | None:
    """Returns the seconds that the client would wait, at most ``WAIT_MAX_S``.

    None if it does not say so in a way that is understood: then the preference is ignored.
    """
    if sum(map(len, prefer or ())) > _LENGTH_MAX:
        return None
    # Of a preference that is there twice, the first one counts (RFC 7240, 2).
    value = next((value for name, value in _preferences(prefer or ()) if name == "wait"), "")
    if not _SECONDS.fullmatch(value):
        return None
    return min(int(value.lstrip("0")[:_DIGITS_MAX] or "0"), WAIT_MAX_S)


def _preferences(headers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields names, in lower case, and values, empty if there is none."""
    for member in _MEMBER.findall(",".join(headers)):
        found = _PREFERENCE.fullmatch(member)
        if found is not None:
            yield found["name"].lower(), _unquoted(found["value"] or "")


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
