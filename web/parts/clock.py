"""Times in words, in the visitor's time zone."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from cron_descriptor import Options, get_description
from nicegui import app, events, ui

from core.wording import ago

_TELL: Final = "emitEvent('zone', Intl.DateTimeFormat().resolvedOptions().timeZone)"
_AT_A_TIME: Final = re.compile(r"At \d\d:\d\d")
_UNITS: Final = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


@functools.cache
def zones() -> tuple[str, ...]:
    """Returns the names of all time zones."""
    return tuple(sorted(available_timezones()))


def known_zone() -> str | None:
    """Returns the visitor's time zone, if the browser has sent it yet."""
    found = app.storage.user.get("zone")
    return str(found) if found is not None else None


def ask_zone(on_zone: Callable[[], Any]) -> None:
    """Ask the browser for its time zone; ``on_zone`` is called when it has changed."""

    def told(event: events.GenericEventArguments) -> Any:
        zone = event.args
        if not isinstance(zone, str) or zone not in zones() or zone == known_zone():
            return None
        app.storage.user["zone"] = zone
        return on_zone()

    ui.on("zone", told)
    ui.run_javascript(_TELL)


def moments_words(moments: Iterable[datetime], zone: str | None, now: datetime) -> str:
    """Returns for example "tomorrow 02:00, 14:00": in ``zone``, or in UTC."""
    there = ZoneInfo(zone or "UTC")
    today = now.astimezone(there).date()
    days = {today: "today", today + timedelta(days=1): "tomorrow"}
    said: list[str] = []
    before = None
    for moment in moments:
        local = moment.astimezone(there)
        day = days.get(local.date()) or f"{local:%a} {local.day} {local:%b}"
        said.append(f"{local:%H:%M}" if day == before else f"{day} {local:%H:%M}")
        before = day
    return ", ".join(said) + ("" if zone else " UTC")


def created_words(moment: datetime) -> str:
    """Returns for example "04:12 (4 minutes ago)": the visitor's time, in UTC until it is known."""
    zone = known_zone()
    local = moment.astimezone(ZoneInfo(zone or "UTC"))
    clock = f"{local:%H:%M}" + ("" if zone else " UTC")
    if datetime.now(UTC) - moment >= timedelta(days=1):
        return f"{local.day} {local:%b %Y}, {clock}"
    return f"{clock} ({ago(moment)})"


def second_words(moment: datetime) -> str:
    """Returns for example "29 Nov, 04:12:07": the visitor's time, in UTC until it is known."""
    zone = known_zone()
    local = moment.astimezone(ZoneInfo(zone or "UTC"))
    return f"{local.day} {local:%b, %H:%M:%S}" + ("" if zone else " UTC")


def cron_words(cron: str) -> str:
    """Returns a cron expression in words, with 24-hour times; unchanged if that fails."""
    options = Options()
    options.use_24hour_time_format = True
    options.locale_code = "en"
    try:
        words: str = get_description(cron, options)
    except Exception:  # noqa: BLE001 - a line that Prefect has may be any; the words are no matter
        return f"By cron {cron}"
    return f"Every day at {words.removeprefix('At ')}" if _AT_A_TIME.fullmatch(words) else words


def every_words(seconds: float) -> str:
    """Returns for example "Every 30 minutes"."""
    for unit, length in _UNITS:
        if seconds >= length and seconds % length == 0:
            times = int(seconds // length)
            return f"Every {unit}" if times == 1 else f"Every {times} {unit}s"
    return f"Every {seconds:g} seconds"
