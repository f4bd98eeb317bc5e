"""What ``FaultProxy`` can do to a request and its answer, and the rules that choose whom."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import h11


@dataclass(frozen=True)
class Refuse:
    """Reset the connection before upstream hears anything."""


@dataclass(frozen=True)
class DropReply:
    """Upstream hears and answers, even when the client has gone; then a reset and no answer."""


@dataclass(frozen=True)
class CutReply:
    """The answer's head and first bytes, then a reset, or else a plain close."""

    after_bytes: int = 0
    reset: bool = True


@dataclass(frozen=True)
class HalfClose:
    """The answer's head and first bytes, then its end; the other direction stays open."""

    after_bytes: int = 0


@dataclass(frozen=True)
class Delay:
    """Upstream hears late, as over a slow line: even when the client has gone."""

    seconds: float


@dataclass(frozen=True)
class SlowReply:
    """The answer's head at once, its body byte by byte."""

    bytes_per_s: float


@dataclass(frozen=True)
class BlackHole:
    """Neither side hears anything, until ``clear`` or ``cut`` resets the client."""


@dataclass(frozen=True)
class Answer:
    """The proxy answers; upstream never hears, and need not even be there."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


@dataclass(frozen=True)
class Replace:
    """Other bytes in the answer's body, which must end and have ``old`` in it to change."""

    old: bytes
    new: bytes


Fault = Refuse | DropReply | CutReply | HalfClose | Delay | SlowReply | BlackHole | Answer | Replace


@dataclass(eq=False)
class Rule:
    """Whom a fault strikes: after the first ``skip`` requests, ``times`` of them; None: all.

    ``path`` is how the path begins, or a pattern to be found in path and query. With None for a
    fault the request passes, and counts.
    """

    fault: Fault | None
    method: str | None = None
    path: str | re.Pattern[str] = ""
    times: int | None = 1
    skip: int = 0
    hits: int = field(default=0, init=False)
    """How many it has struck: the client is yet to notice, upstream has answered if it may."""
    _seen: int = field(default=0, init=False)

    def takes(self, head: h11.Request) -> bool:
        """Whether it strikes this one; to be asked once for each request."""
        target, path = head.target.decode(), self.path
        found = target.startswith(path) if isinstance(path, str) else path.search(target)
        if not found or self.method not in (None, head.method.decode()):
            return False
        self._seen += 1
        turn = self._seen - self.skip
        return turn > 0 and (self.times is None or turn <= self.times)
