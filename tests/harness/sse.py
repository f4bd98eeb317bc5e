"""Reading server-sent events, as a browser would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    """One event of a stream."""

    name: str
    id: str
    data: Any


def follow(api: httpx.Client, url: str, last_event_id: str | None = None) -> Iterator[Event]:
    """The events of a stream until the server ends it. AssertionError unless it answers 200."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
    with api.stream("GET", url, headers=headers, timeout=60) as stream:
        if stream.status_code != 200:
            stream.read()
            raise AssertionError(f"{stream.status_code}: {stream.text}")
        fields: dict[str, str] = {}
        for line in stream.iter_lines():
            if not line:
                if "data" in fields:
                    yield Event(
                        fields.get("event", "message"),
                        fields.get("id", ""),
                        json.loads(fields["data"]),
                    )
                fields = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
