"""Cron lines as users write them: checked, and written so that Prefect fires as cron says.

Prefect reads more than cron (a sixth field as seconds, for example), and some lines in another
way: a range of one value, ``2-2``, is every hour to it. A line is accepted if an independent
reader of cron (cronsim) and Prefect's scheduler give the same times.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import islice, zip_longest
from typing import Final, NamedTuple

from cronsim import CronSim, CronSimError

from flows.errors import ScheduleTimingError
from flows.prefect.private.schedules import cron_times

_COMPARED: Final = 50
"""Number of upcoming times in which the two readings must agree."""
_ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class _Field(NamedTuple):
    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()

    @property
    def article(self) -> str:
        return "an" if self.name == "hour" else "a"

    @property
    def values(self) -> str:
        said = f"{self.lowest}-{self.highest}"
        return f"{said} or {self.names[0]}-{self.names[-1]}" if self.names else said


_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS: Final = (
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
)  # fmt: skip
_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _DAYS),
)
_END: Final = "([0-9]{1,2}|[A-Za-z]{3})"
_RANGE: Final = re.compile(f"{_END}-{_END}((?:/[0-9]+)?)")
_SHAPE: Final = "must be five fields: minute, hour, day, month, weekday, such as 0 2 * * *"


def plain_cron(cron: str) -> str:
    """Returns the line as it is given to Prefect.

    Raises ValueError, with what is wrong, unless it is plain cron and comes some time.
    """
    if cron.strip().lower() in _ALIASES:
        alias = cron.strip().lower()
        raise ValueError(f"must be five fields: instead of {alias} write {_ALIASES[alias]}")
    fields = cron.split()
    if len(fields) != len(_FIELDS):  # Prefect reads a sixth one as seconds
        raise ValueError(f"{_SHAPE}; this has {len(fields)}")
    if not all(field.isascii() for field in fields):
        raise ValueError(_SHAPE)
    for kind, field in zip(_FIELDS, fields, strict=True):
        _check_field(kind, field)
    plain = " ".join(_single_values(field) for field in fields)
    _check_times(plain)
    return plain


def _check_field(kind: _Field, field: str) -> None:
    for part in field.split(","):
        _check_range(kind, part)
    alone = ["*"] * len(_FIELDS)
    alone[_FIELDS.index(kind)] = field
    try:
        CronSim(" ".join(alone), datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(
            f"has {kind.article} {kind.name} that is not understood: use {kind.values}, "
            "lists such as 1,2, ranges such as 1-5, steps such as */2"
        ) from error


def _check_range(kind: _Field, part: str) -> None:
    """Raises ValueError for a range that goes down, such as FRI-MON, with what to write."""
    found = _RANGE.fullmatch(part)
    if found is None:
        return
    first, last = (_number(kind, end) for end in found.group(1, 2))
    if first is None or last is None or first <= last:
        return
    if not (kind.lowest <= last and first <= kind.highest):
        return
    step = found.group(3)
    low, high = kind.lowest, kind.highest
    if kind.names == _DAYS and not found.group(1).isdigit():
        high = 6  # Saturday: 7 is Sunday again
    up = [_span(kind, first, high, found.group(1)), _span(kind, low, last, found.group(1))]
    instead = ",".join(up)
    words = f"has {kind.article} {kind.name} range that goes down: instead of {part}"
    raise ValueError(f"{words} write {instead}" if not step else f"{words} write its values out")


def _span(kind: _Field, first: int, last: int, like: str) -> str:
    named = not like.isdigit()
    one, other = (kind.names[n - _offset(kind)] if named else str(n) for n in (first, last))
    return one if first == last else f"{one}-{other}"


def _number(kind: _Field, value: str) -> int | None:
    if value.isdigit():
        return int(value)
    name = value.upper()
    return kind.names.index(name) + _offset(kind) if name in kind.names else None


def _offset(kind: _Field) -> int:
    return 1 if kind.names == _MONTHS else 0


def _single_values(field: str) -> str:
    """Returns the field with 2 for 2-2, which Prefect takes for every value."""

    def single(part: str) -> str:
        found = _RANGE.fullmatch(part)
        if found is None or found.group(1).upper() != found.group(2).upper():
            return part
        return found.group(1)

    return ",".join(single(part) for part in field.split(","))


def _check_times(cron: str) -> None:
    now = datetime.now(UTC)
    wanted = _cron_times(cron, now)
    if not wanted:
        raise ValueError("never comes: there is no such day")
    try:
        fired = cron_times(cron, "UTC", now, len(wanted))
    except ScheduleTimingError as error:
        raise ValueError("is not understood by Prefect: write it with plain numbers") from error
    other = _difference(wanted, fired)
    if other is not None:
        raise ValueError(
            f"is read in another way by Prefect ({other}): write the values out, and give a day "
            "or a weekday, not both"
        )


def difference(cron: str) -> str | None:
    """Returns where Prefect fires a line that it has in another way than cron; None if nowhere."""
    now = datetime.now(UTC)
    wanted = _cron_times(cron, now) if len(cron.split()) == len(_FIELDS) else []
    try:
        fired = cron_times(cron, "UTC", now, _COMPARED)
    except ScheduleTimingError:
        return None
    return _difference(wanted, fired[: len(wanted)]) if wanted else "cron does not know this line"


def _cron_times(cron: str, now: datetime) -> list[datetime]:
    """Returns when cron fires; an empty list for a line that is none, or that never comes."""
    try:
        return list(islice(CronSim(cron, now), _COMPARED))
    except CronSimError:
        return []


def _difference(wanted: list[datetime], fired: list[datetime]) -> str | None:
    for said, found in zip_longest(wanted, fired):
        if said != found:
            times = (f"{at:%Y-%m-%d %H:%M}" if at is not None else "never" for at in (found, said))
            return f"it fires at {' instead of '.join(times)}"
    return None
