"""What is known of workers, as functions: for the routes, for pages of web, for monitoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from api.cached import Cached
from api.generations.estimates import Estimates
from api.workers.documents import WorkerDocument, WorkersDocument
from flows.fleet import Member
from store.fleet import WaitingFor
from store.store import Store

READ_FOR_S: Final = 2.0
"""How long what was read of the queue is shown: it is counted as a whole."""


class WorkerFacade:
    """The workers as clients see them. Raises the store's errors."""

    def __init__(self, store: Store, estimates: Estimates) -> None:
        self._estimates = estimates
        self._waiting = Cached(store.fleet.waiting, READ_FOR_S)
        self._versions = Cached(store.registry.versions, READ_FOR_S)

    async def all(self) -> WorkersDocument:
        """Returns every registered worker."""
        fleet = await self._estimates.fleet()
        waiting, versions = await self._waiting.get(), await self._versions.get()
        return WorkersDocument(workers=[_document(one, waiting, versions) for one in fleet.members])


def _document(
    member: Member, waiting: Sequence[WaitingFor], versions: Mapping[str, str]
) -> WorkerDocument:
    record = member.record
    return WorkerDocument(
        name=record.name,
        comfyui_version=versions.get(record.comfy_url) or None,
        reachable=member.is_there,
        detail=_why_away(member),
        seen_at=record.seen_at,
        last_model=record.last_model,
        running=len(member.held),
        waiting=sum(one.count for one in waiting if member.can_do(one.needs)),
        seconds_per_cost=record.seconds_per_cost,
    )


def _why_away(member: Member) -> str | None:
    if member.is_there:
        return None
    if member.lives:
        return member.record.detail or "ComfyUI does not answer"
    return "it does not answer" if member.record.stopped_at is None else "it was stopped"
