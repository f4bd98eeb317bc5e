"""Times in words, on the visitor's own clock."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from nicegui import app, events, ui

DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_SHORT: Final = {name[:3].upper(): number for number, name in enumerate(DAYS)}
_TELL: Final = "emitEvent('zone', Intl.DateTimeFormat().resolvedOptions().timeZone)"
_UNITS: Final = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_NIGHT_ENDS, _NIGHT_BEGINS = 6, 22


@functools.cache
def zones() -> tuple[str, ...]:
    """Every time zone there is, by its name."""
    return tuple(sorted(available_timezones()))


def known_zone() -> str | None:
    """The visitor's time zone, if their browser has told it yet."""
    found = app.storage.user.get("zone")
    return str(found) if found is not None else None


def ask_zone(on_zone: Callable[[], None]) -> None:
    """Have the browser tell its time zone; ``on_zone`` is called when it is another than known."""

    def told(event: events.GenericEventArguments) -> None:
        zone = event.args
        if isinstance(zone, str) and zone in zones() and zone != known_zone():
            app.storage.user["zone"] = zone
            on_zone()

    ui.on("zone", told)
    ui.run_javascript(_TELL)


def moments_words(moments: Iterable[datetime], zone: str | None, now: datetime) -> str:
    """Such as "tomorrow 02:00, 14:00": by the clocks of ``zone``, or in UTC."""
    there = ZoneInfo(zone or "UTC")
    today = now.astimezone(there).date()
    days = {today: "today", today + timedelta(days=1): "tomorrow"}
    said: list[str] = []
    before = None
    for moment in moments:
        local = moment.astimezone(there)
        day = days.get(local.date()) or f"{local:%a %-d %b}"
        said.append(f"{local:%H:%M}" if day == before else f"{day} {local:%H:%M}")
        before = day
    return ", ".join(said) + ("" if zone else " UTC")


def cron_words(cron: str) -> str:
    """The common ones as people say them, the others as they are."""
    parts = cron.split()
    if len(parts) != 5:
        return f"By cron {cron}"
    minute, hour, day, month, weekday = parts
    said = _repeated(minute, hour, [day, month, weekday])
    if said is None and minute.isdigit() and hour.isdigit() and month == "*":
        said = _at(int(hour), int(minute), day, weekday)
    return said or f"By cron {cron}"


def _repeated(minute: str, hour: str, rest: list[str]) -> str | None:
    if rest != ["*"] * 3:
        return None
    if minute.isdigit() and hour == "*":
        return "Every hour" if int(minute) == 0 else f"Every hour at :{int(minute):02}"
    if minute == "*" and hour == "*":
        return "Every minute"
    if minute.startswith("*/") and minute[2:].isdigit() and hour == "*":
        return f"Every {minute[2:]} minutes"
    if minute.isdigit() and hour.startswith("*/") and hour[2:].isdigit():
        past = "" if int(minute) == 0 else f" at :{int(minute):02}"
        return f"Every {hour[2:]} hours{past}"
    return None


def _at(hour: int, minute: int, day: str, weekday: str) -> str | None:
    clock = f"at {hour:02}:{minute:02}"
    if day == "*" and weekday == "*":
        night = hour < _NIGHT_ENDS or hour >= _NIGHT_BEGINS
        return f"Every {'night' if night else 'day'} {clock}"
    if day == "*":
        days = _weekdays(weekday)
        return f"{days} {clock}" if days else None
    if weekday == "*" and day.isdigit():
        return f"On day {int(day)} of every month {clock}"
    return None


def _weekdays(text: str) -> str | None:
    first, dash, last = text.partition("-")
    ends = (_weekday(first), _weekday(last))
    if dash:
        if ends[0] is None or ends[1] is None:
            return None
        return f"{DAYS[ends[0]]} to {DAYS[ends[1]]}"
    named = [_weekday(part) for part in text.split(",")]
    names = [DAYS[number] for number in named if number is not None]
    if len(names) != len(named):
        return None
    return f"Every {' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))}"


def _weekday(text: str) -> int | None:
    if text.isdigit() and int(text) <= 7:
        return int(text) % 7
    return _SHORT.get(text.upper())


def every_words(seconds: float) -> str:
    """Such as "Every 30 minutes"."""
    for unit, length in _UNITS:
        if seconds >= length and seconds % length == 0:
            times = int(seconds // length)
            return f"Every {unit}" if times == 1 else f"Every {times} {unit}s"
    return f"Every {seconds:g} seconds"
