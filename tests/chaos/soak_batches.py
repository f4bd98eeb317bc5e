"""Batches in the soak: one after the other, created until answered, each item made once."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.house import ChaosStack
from tests.chaos.soak_callbacks import Ears
from tests.harness.batches import BATCHES, OVER, BatchHandle
from tests.harness.generations import SMALL

SIZE: Final = 10


@dataclass(eq=False)
class AskedBatch:
    """One batch as its client knows it. ``cancel``: the client will not want it to its end."""

    key: str
    body: dict[str, Any]
    cancel: bool
    id: str | None = None
    status: str = "not accepted"


class BatchClient:
    """Asks for a batch, looks at it until it has ended, and asks for the next one."""

    def __init__(self, house: ChaosStack, ears: Ears, chance: random.Random) -> None:
        self._house = house
        self._ears = ears
        self._chance = chance
        self.asked: list[AskedBatch] = []

    def ask(self) -> None:
        """Ask for one more if the last one has ended. httpx.TransportError: the API is away."""
        if self.asked and self.asked[-1].status not in OVER:
            return
        number = len(self.asked)
        row = {"prompt": f"a {{red|silver}} fox of batch {number}", **SMALL, "count": SIZE}
        body = {
            "items": [row],
            "seed": self._chance.randrange(1_000_000),
            "max_in_flight": 3,
            "callback_url": self._ears.url,
        }
        self.asked.append(
            AskedBatch(f"soak batch {number}", body, cancel=self._chance.random() < 0.15)
        )
        self.look()

    def look(self) -> None:
        """At what has not ended."""
        for one in self.asked:
            if one.id is None:
                self._create(one)
            elif one.status not in OVER:
                self._look_at(one)

    def _create(self, one: AskedBatch) -> None:
        headers = {"Idempotency-Key": one.key}
        answer = self._house.api.post(BATCHES, json=one.body, headers=headers)
        if answer.status_code == 202:
            one.id, one.status = answer.json()["batch_id"], "queued"

    def _look_at(self, one: AskedBatch) -> None:
        answer = self._house.api.get(f"{BATCHES}/{one.id}")
        if answer.is_success:
            one.status = answer.json()["status"]
        if one.cancel and self._chance.random() < 0.1:
            self._house.api.post(f"{BATCHES}/{one.id}/cancel")

    @property
    def is_done(self) -> bool:
        """Whether all have ended."""
        return all(one.status in OVER for one in self.asked)

    @property
    def all_told(self) -> bool:
        """Whether the receiver has taken the end of each."""
        return all(
            self._ears.has_taken(f"batch.{one.status}", one.id)
            for one in self.asked
            if one.id is not None
        )

    def ends(self) -> dict[str, int]:
        """How many ended how."""
        return dict(sorted(Counter(one.status for one in self.asked).items()))

    def violations(self) -> list[str]:
        """What does not hold, at the end."""
        wrong: list[str] = []
        for one in self.asked:
            if one.id is not None:
                wrong += self._wrong_with(one, self._house.batch(one.id))
        return wrong

    def _wrong_with(self, one: AskedBatch, batch: BatchHandle) -> list[str]:
        document, items = batch.get(), list(batch.items())
        wrong: list[str] = []
        if document["status"] not in OVER:
            wrong.append(f"batch {one.id} is {document['status']} at the end: {document}")
        elif not self._ears.has_taken(f"batch.{document['status']}", str(one.id)):
            wrong.append(f"batch {one.id} is {document['status']}: its receiver was not told")
        if [item["position"] for item in items] != list(range(SIZE)):
            wrong.append(f"batch {one.id} has not each of its items once")
        made = [item["generation"] for item in items if item["generation"] is not None]
        if any(generation["status"] not in OVER for generation in made):
            wrong.append(f"batch {one.id} has ended, and something of it has not")
        if document["status"] == "succeeded" and document["counts"]["succeeded"] != SIZE:
            wrong.append(f"batch {one.id} succeeded with {document['counts']}")
        found = len(self._house.history(batch_id=one.id, limit=100))
        if found != len(made):
            wrong.append(f"batch {one.id} has {found} generations for {len(made)} items")
        return wrong
