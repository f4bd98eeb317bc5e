"""Works on the outbox: each kind by its handler, the lanes side by side.

A handler returns the outcome of an entry: done, postponed (a minute, a day), or its whole lane
blocked because the service behind it is down. A blocked lane is tried with one entry at a time; the
others continue meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from core.loop import Loop
from store.errors import LeaseLostError, StoreError, StoreUnavailableError
from store.leases import RENEWALS, LeaseKeeper, Leases, LeaseWatch
from store.outbox import Look, Outbox
from store.values import Entry

LOOK_EVERY_S: Final = 0.25
"""Seconds between polls where no signals of other processes arrive. A poll is one read of a
millisecond, however many entries are not due."""
TOLD_LOOK_S: Final = 0.4
"""Seconds after a signal until a look for what it wrote to be done a little later."""
HEARING_LOOK_EVERY_S: Final = 1.0
"""Seconds between polls where they do, while there is or was a moment ago something to do."""
CALM_LOOK_EVERY_S: Final = 5.0
"""The most seconds between polls while there is nothing to do: the store has said when the next
entry falls due, but a signal may be lost, and a clock may be set."""
BUSY_MAX_S: Final = 0.05
"""The longest that requests being answered delay a claim: there may always be some."""
SOONEST_LOOK_S: Final = 0.05
"""The fewest seconds until a poll for an entry that falls due."""
CLAIMS_AT_ONCE: Final = 4
"""Claims of all lanes at the same time: each is a write that clients' writes wait for."""
IN_HAND: Final = 1024
"""The most entries of all lanes that are claimed at the same time."""
CHECK_EVERY_S: Final = 2.0
"""Seconds between two looks at whether anything waits in blocked lanes."""
FAILED_DELAY_S: Final = 15.0
"""Seconds until an entry whose handler raised an unexpected error is tried again."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """Completed. ``removed``: the handler's own transaction has removed the entry already."""

    removed: bool = False


@dataclass(frozen=True)
class PutOff:
    """Not yet: this entry again in ``delay_s`` seconds."""

    reason: str
    delay_s: float


@dataclass(frozen=True)
class Blocked:
    """Nothing in the lane can be done now: this entry again in ``delay_s`` seconds."""

    reason: str
    delay_s: float


Outcome = Done | PutOff | Blocked
Handler = Callable[[Entry], Awaitable[Outcome]]


class OutboxRunner:
    """Use as an async context manager; ``wake()`` after a write makes it poll at once.

    ``name`` is that of the runner's lease (``lease_s``). No two live runners have the same name;
    a restarted process has the name it had before, so that its former claims are freed at once.
    Else the other runners free a dead runner's claims when its lease has lapsed.
    ``together`` entries of one lane are worked on at once, ``in_hand`` of all lanes. ``busy()``
    delays a claim by ``BUSY_MAX_S`` at most.
    """

    def __init__(
        self,
        outbox: Outbox,
        leases: Leases,
        handlers: Mapping[str, Handler],
        *,
        name: str,
        lease_s: float,
        together: int,
        busy: Callable[[], bool] = lambda: False,
        in_hand: int = IN_HAND,
    ) -> None:
        self._outbox = outbox
        self._leases = leases
        self._handlers = handlers
        self._kinds = tuple(handlers)
        self._name = name
        self._lease_s = lease_s
        self._together = together
        self._busy = busy
        self._claims = asyncio.Semaphore(CLAIMS_AT_ONCE)
        self._places = asyncio.Semaphore(in_hand)
        self._stack = AsyncExitStack()
        self._lease: LeaseKeeper | None = None
        self._free_every_s = lease_s / RENEWALS
        self._watch = LeaseWatch(self._free_every_s)
        self._free_at = 0.0
        self._check_at = 0.0
        self._drains: dict[str, asyncio.Task[None]] = {}
        self._ended: set[str] = set()  # the lanes whose work has ended while lanes are looked up
        self._loop = Loop(
            name,
            self._poll,
            self._pause_s,
            first_s=0,
            retry_s=LOOK_EVERY_S,
            expected=(StoreError,),
        )
        self._is_told = True
        self._was_told = False
        self._has_begun = False  # work in any lane, since the last look began
        self._is_calm = False
        self._due_in_s: float | None = None
        self._hearing = ExitStack()
        self.blocked: dict[str, str] = {}
        """Why these lanes are blocked now."""

    async def __aenter__(self) -> OutboxRunner:
        self._hearing.enter_context(self._outbox.listening(self._told))
        self._loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._hearing.close()
        await self._loop.stop()
        await self._end_lease()

    def wake(self, lane: str | None = None) -> None:
        """There is something to do, in that lane if one is named."""
        if lane is not None and self._lease is not None and lane not in self._drains:
            self._begin(lane, self._lease)  # without a poll, which costs a read
        else:
            self._told()

    def _told(self) -> None:
        self._is_told = True
        self._loop.wake()

    async def _poll(self) -> None:
        self._was_told, self._is_told = self._is_told, False
        await self.look()

    def _pause_s(self) -> float:
        if not self._outbox.hears:
            return LOOK_EVERY_S
        if self._was_told:
            return TOLD_LOOK_S
        if self._has_begun or self._drains or self._ended or self.blocked:
            return HEARING_LOOK_EVERY_S
        self._is_calm = True
        due_in_s = CALM_LOOK_EVERY_S if self._due_in_s is None else self._due_in_s
        return min(max(due_in_s, SOONEST_LOOK_S), CALM_LOOK_EVERY_S, self._free_every_s)

    async def look(self) -> None:
        """One round: start work in every lane that has something to do. Raises StoreError."""
        self._is_calm = self._has_begun = False
        lease = self._lease or await self._begin_lease()
        await self._forget_empty_lanes()
        found = await self._look(with_claimers=time.monotonic() >= self._free_at)
        if await self._free_claims_of_the_dead(found.claimers - {lease.holder}):
            found = await self._look()
        self._due_in_s = found.due_in_s
        self._has_begun |= bool(found.lanes)
        for lane in found.lanes - self._ended:
            self._begin(lane, lease)

    async def _look(self, *, with_claimers: bool = False) -> Look:
        self._ended.clear()
        if with_claimers:
            self._free_at = time.monotonic() + self._free_every_s
        return await self._outbox.look(self._kinds, with_claimers=with_claimers)

    async def do(self, entry: Entry) -> None:
        """Work on a claimed entry. Raises StoreUnavailableError."""
        try:
            outcome = await self._handlers[entry.kind](entry)
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001
            # This entry only: a file that cannot be removed must not hold up the others.
            _log.exception("%s of %s failed; retrying later", entry.kind, entry.subject)
            await self._outbox.postpone(entry, repr(error), FAILED_DELAY_S)
            return
        match outcome:
            case Done():
                self.blocked.pop(entry.lane, None)
                if not outcome.removed:
                    await self._outbox.done(entry)
            case PutOff():
                await self._outbox.postpone(entry, outcome.reason, outcome.delay_s)
            case Blocked():
                self.blocked[entry.lane] = outcome.reason
                await self._outbox.postpone(entry, outcome.reason, outcome.delay_s)
                if entry.tries == 0:
                    _log.warning(
                        "%s of %s is blocked; retrying later: %s",
                        entry.kind,
                        entry.subject,
                        outcome.reason,
                    )

    def _begin(self, lane: str, lease: LeaseKeeper) -> None:
        if lane not in self._drains:
            self._has_begun = True
            drain = asyncio.create_task(self._drain(lane, lease), name=f"outbox {lane}")
            self._drains[lane] = drain

    async def _drain(self, lane: str, lease: LeaseKeeper) -> None:
        """Work on a lane until nothing more can be claimed, or it is blocked."""
        try:
            while (done := await self._do_some(lane, lease)) > 0 and lane not in self.blocked:
                # Some may have come meanwhile, or be the next of their subjects.
                if done < self._together and not await self._outbox.has_due(lane, self._kinds):
                    break
        except* LeaseLostError as errors:
            _log.warning(
                "%s lost its lease; restarting under another name: %s",
                self._name,
                errors.exceptions[0],
            )
            self._name = f"{self._name.partition(' #')[0]} #{uuid4()}"
            self._lease = None
        except* StoreError as errors:
            # Entries may be claimed without being worked on: a new lease frees those claims.
            _log.warning("%s failed; restarting: %s", self._name, errors.exceptions[0])
            self._lease = None
        except* Exception:  # noqa: BLE001 - the next poll may succeed
            _log.exception("lane %s failed; restarting", lane)
            self._lease = None
        finally:
            del self._drains[lane]
            self._ended.add(lane)
            if self._is_calm:  # begun without a poll: something may have been put off for a moment
                self._loop.wake()

    async def _do_some(self, lane: str, lease: LeaseKeeper) -> int:
        """Claim some entries and work on them at once. Returns how many."""
        async with self._claims:  # the lanes take turns
            entries = await self._claim(lane, lease)
        async with asyncio.TaskGroup() as group:
            for entry in entries:
                work = group.create_task(self.do(entry), name=f"outbox {lane}: {entry.subject}")
                work.add_done_callback(lambda _: self._leave(1))
        return len(entries)

    async def _claim(self, lane: str, lease: LeaseKeeper) -> Sequence[Entry]:
        until = time.monotonic() + BUSY_MAX_S
        while self._busy() and time.monotonic() < until:  # noqa: ASYNC110 - polling is cheap
            await asyncio.sleep(0.005)
        places = await self._some_places(1 if lane in self.blocked else self._together)
        entries: Sequence[Entry] = ()
        try:
            entries = await self._outbox.claim(lane, self._kinds, lease.holder, places)
        finally:
            self._leave(places - len(entries))
        return entries

    async def _some_places(self, most: int) -> int:
        """Wait for a place, first come first served. Returns how many there were, up to so many."""
        await self._places.acquire()
        places = 1
        while places < most and not self._places.locked():
            await self._places.acquire()
            places += 1
        return places

    def _leave(self, places: int) -> None:
        for _ in range(places):
            self._places.release()

    async def _begin_lease(self) -> LeaseKeeper:
        """Acquire the lease that claims are made under; those of a former one are freed."""
        await self._end_lease()
        lease = LeaseKeeper(self._leases, self._name, self._lease_s)
        await self._stack.enter_async_context(lease)
        self._lease = lease
        self._watch = LeaseWatch(self._free_every_s)
        self._free_at = time.monotonic()
        return lease

    async def _end_lease(self) -> None:
        """Stop all work, then release the lease: what is still claimed under it becomes free."""
        self._lease = None
        drains = list(self._drains.values())
        for drain in drains:
            drain.cancel()
        if drains:
            await asyncio.wait(drains)
        self._drains.clear()  # a task cancelled before it began has not removed itself
        await self._stack.aclose()

    async def _forget_empty_lanes(self) -> None:
        """A blocked lane in which nothing waits is blocked no more: another runner has done it."""
        if not self.blocked or time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + CHECK_EVERY_S
        waiting = await self._outbox.lanes(self._kinds, due=False)
        for lane in self.blocked.keys() - waiting:
            del self.blocked[lane]

    async def _free_claims_of_the_dead(self, others: Collection[UUID]) -> bool:
        """Returns whether any claim of these other leases was freed."""
        if not others:
            return False
        found = {one.holder: one for one in await self._leases.all()}
        self._watch.look(found.values())
        any_freed = False
        for holder in others:
            if self._watch.lives(holder):
                continue
            if freed := await self._outbox.free(holder, found.get(holder)):
                _log.warning("%s freed %d claims of a dead runner", self._name, freed)
                any_freed = True
        return any_freed
