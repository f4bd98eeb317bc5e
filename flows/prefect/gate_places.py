"""A work pool and its queues with what holds their runs back, as Easel's own endpoint answers.

Both sides of it are in this package: ``endpoint.py`` asks, ``private/endpoint/gate.py`` answers.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

GATE_PATH: Final = "/easel/gate/1"
"""Under the API's own URL, with the pool's name as ``pool``. Another form of answer gets another
number: a server that does not know it answers 404, as one does that is not Easel's."""


class GatePlace(BaseModel):
    """A work pool or work queue."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)

    name: str
    is_paused: bool
    concurrency_limit: int | None


class GatePlaces(BaseModel):
    """A pool, those of its queues that Easel uses, and whether Prefect has any global limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: GatePlace | None
    """None: there is no pool of that name."""
    queues: tuple[GatePlace, ...] = ()
    has_global_limits: bool = False
