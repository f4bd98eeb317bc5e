"""The fleet as it is now: which workers live, what their ComfyUIs can do, how busy they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from core.workflows.needs import Needs, Offer, without
from store.fleet import Held, Registered
from store.leases import LeaseWatch
from store.store import Store
from store.values import WorkerRecord
from store.workers import is_live


@dataclass(frozen=True)
class Member:
    """A registered worker. ``lives``: it runs; ``offer`` is None while it was never read."""

    record: WorkerRecord
    lives: bool
    offer: Offer | None
    held: tuple[Held, ...]

    @property
    def is_there(self) -> bool:
        """Whether it runs, and reaches its ComfyUI."""
        return self.lives and self.record.comfy_reachable

    def can_do(self, needs: Needs | None) -> bool:
        """Whether its ComfyUI has all of it. What is not known yet is not known to be missing."""
        return needs is None or self.offer is None or not self.offer.lacks(needs)


@dataclass(frozen=True)
class Fleet:
    """Every registered worker, by name."""

    members: tuple[Member, ...] = ()

    @property
    def there(self) -> tuple[Member, ...]:
        """Returns those that run, and reach their ComfyUIs."""
        return tuple(one for one in self.members if one.is_there)

    def why_nobody(self, needs: Needs) -> str | None:
        """Returns why no worker that is there can do it; None if one can, or none is there."""
        there = self.there
        if not there or any(one.can_do(needs) for one in there):
            return None
        why = without(needs, [one.offer for one in there if one.offer is not None])
        away = [
            one.record.name
            for one in self.members
            if not one.is_there and one.offer is not None and one.can_do(needs)
        ]
        return f"{why}; {away[0]}, which has all of it, is away" if away else why


class FleetWatch:
    """Reads the fleet, again and again: a lease is known to lapse by looks at it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watch = LeaseWatch(look_every_s=float("inf"))
        self._digests: Mapping[str, str] = {}
        self._offers: dict[str, Offer] = {}

    async def look(self) -> Fleet:
        """Returns the fleet as it is now. Raises StoreUnavailableError."""
        registered = await self._store.fleet.registered()
        await self._read_offers(registered)
        self._watch.look(registered.leases)
        now = datetime.now(UTC)
        return Fleet(
            tuple(
                Member(
                    record,
                    is_live(record, self._watch, now),
                    self._offers.get(record.comfy_url),
                    tuple(one for one in registered.held if one.lease == record.holder),
                )
                for record in sorted(registered.workers, key=lambda one: one.name)
            )
        )

    async def _read_offers(self, registered: Registered) -> None:
        """Read those that have changed."""
        urls, digests = {one.comfy_url for one in registered.workers}, registered.offers
        known = {url: digests[url] for url in urls if url in digests}
        for url, digest in known.items():
            if self._digests.get(url) != digest:
                offer = await self._store.offers.of(url)
                if offer is not None:
                    self._offers[url] = offer
        for url in self._offers.keys() - known.keys():
            del self._offers[url]
        self._digests = known
