"""Callbacks in the soak: a receiver that misbehaves, and what it must have heard at the end."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from standardwebhooks.webhooks import Webhook

from tests.chaos.house import ChaosStack
from tests.harness.receiver import CallbackReceiver, Exchange, answers, resets

SLOW_S: Final = 2.0
DOWN_S: Final = (2.0, 8.0)
ON_ITS_WAY_S: Final = 3.0
"""Seconds after a delete in which a request may arrive that was sent before."""


@dataclass(frozen=True)
class Heard:
    """An event that came: ``at`` by the monotonic clock, ``taken`` if it was answered with 2xx."""

    at: float
    id: str
    type: str
    subject: str
    attempt: int | None
    signed: bool
    taken: bool


@dataclass
class Ears:
    """Receives events, as badly as ``chance`` wants. Use as a context manager."""

    house: ChaosStack
    chance: random.Random
    heard: list[Heard] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _down_until: float = 0.0
    _well: bool = False

    def __enter__(self) -> Self:
        self._receiver = self._stack.enter_context(CallbackReceiver(self._behave))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where events are sent to."""
        return self._receiver.url

    def get_well(self) -> None:
        """Answer every event with 200 from now on."""
        self._well = True

    async def _behave(self, exchange: Exchange) -> None:
        kind = "200" if self._well else self._mood()
        body: dict[str, Any] = json.loads(exchange.request.body)
        data = body["data"]
        with self._lock:
            self.heard.append(
                Heard(
                    at=time.monotonic(),
                    id=exchange.request.webhook_id,
                    type=body["type"],
                    subject=data["task_id"] if "task_id" in data else data["batch_id"],
                    attempt=data.get("attempt"),
                    signed=self._is_signed(exchange),
                    taken=kind in ("200", "slow"),
                )
            )
        if kind == "reset":
            await resets(exchange)
            return
        if kind == "slow":
            await asyncio.sleep(SLOW_S)
        await answers(500 if kind == "500" else 200)(exchange)

    def _mood(self) -> str:
        if time.monotonic() < self._down_until:
            return "reset"
        kind = self.chance.choices(["200", "500", "reset", "slow", "down"], [70, 12, 8, 7, 3])[0]
        if kind == "down":
            self._down_until = time.monotonic() + self.chance.uniform(*DOWN_S)
            return "reset"
        return kind

    def _is_signed(self, exchange: Exchange) -> bool:
        """Whether it is signed; not by the verifier, which compares clocks: some are shifted."""
        headers = exchange.request.headers
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        text = exchange.request.body.decode()
        expected = Webhook(self.house.secret()).sign(headers["webhook-id"], at, text)
        return expected in headers["webhook-signature"].split()

    def has_taken(self, event: str, subject: str, attempt: int | None = None) -> bool:
        """Whether it has answered that event with 2xx."""
        with self._lock:
            return any(
                (it.type, it.subject) == (event, subject)
                and it.taken
                and attempt in (None, it.attempt)
                for it in self.heard
            )

    def heard_after(self, subject: str, moment: float) -> list[Heard]:
        """Returns what came of a subject later than ``ON_ITS_WAY_S`` after the moment."""
        with self._lock:
            return [
                it for it in self.heard if it.subject == subject and it.at > moment + ON_ITS_WAY_S
            ]

    def figures(self) -> dict[str, int]:
        """How many events and requests there were, and how many came again after a 2xx."""
        taken = Counter(it.id for it in self.heard if it.taken)
        return {
            "events": len({it.id for it in self.heard}),
            "requests": len(self.heard),
            "taken_twice": sum(times > 1 for times in taken.values()),
            "not_signed": sum(not it.signed for it in self.heard),
        }
