"""The store as a whole, as the entry points (API, worker, CLI) open it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Self
from uuid import UUID

from store.artefacts.files import ArtefactFiles
from store.batches.queries import Batches
from store.batches.transitions import BatchTransitions
from store.callbacks.deliveries import Deliveries
from store.callbacks.secrets import Secrets
from store.callbacks.stored import Callbacks
from store.changes import ChangeFeed
from store.database import Database
from store.fleet import FleetQueries
from store.generations.acceptance import Acceptance
from store.generations.flow_runs import FlowRunTransitions
from store.generations.queries import Generations
from store.generations.queue import Queue
from store.generations.transitions import Transitions
from store.identity import identity_of
from store.leases import Leases
from store.migrate import migrate
from store.models import ModelRegistry
from store.offers import Offers
from store.orphan_prompts import Strays
from store.outbox import Outbox
from store.retention import Retention
from store.sources import Sources
from store.uploads.uploads import Uploads
from store.workers import Registry
from store.workflows import Workflows


class Store:
    """All persistent data. ``async with Store(url, images_url) as store`` migrates and opens it.

    ``url`` is an SQLAlchemy URL (SQLite or PostgreSQL), ``images_url`` a folder or an obstore URL.
    ``patience_s``: how long a write waits for other writers of SQLite (ten seconds without it).
    ``start_delay_s``: how long the start of what is accepted waits in the outbox for a worker that
    takes it from the queue sooner, and makes its flow run itself.
    ``clock``: by which the outbox's entries are due; without one it is the database's.
    Raises StoreUnavailableError when the database cannot be opened, NewerStoreError when a newer
    version has written it, ArtefactStoreError when there is no place for the pictures.
    """

    def __init__(
        self,
        url: str,
        images_url: str,
        *,
        patience_s: float | None = None,
        start_delay_s: float = 0.0,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.database = Database(url, patience_s=patience_s)
        self.acceptance = Acceptance(self.database, start_delay_s)
        self.batches = Batches(self.database)
        self.batch_transitions = BatchTransitions(self.database, start_delay_s)
        self.changes = ChangeFeed(self.database)
        self.fleet = FleetQueries(self.database)
        self.flow_runs = FlowRunTransitions(self.database)
        self.generations = Generations(self.database)
        self.leases = Leases(self.database)
        self.callbacks = Callbacks(self.database)
        self.deliveries = Deliveries(self.database)
        self.secrets = Secrets(self.database)
        self.models = ModelRegistry(self.database)
        self.offers = Offers(self.database)
        self.outbox = Outbox(self.database, clock)
        self.queue = Queue(self.database)
        self.registry = Registry(self.database)
        self.sources = Sources(self.database)
        self.strays = Strays(self.database)
        self.transitions = Transitions(self.database)
        self.workflows = Workflows(self.database)
        self.files = ArtefactFiles(images_url)
        self.retention = Retention(self.database, self.files)
        self.uploads = Uploads(self.database, self.files)
        self._stack = AsyncExitStack()
        self._identity: UUID | None = None

    @property
    def identity(self) -> UUID:
        """Returns which store this is. Raises RuntimeError unless the store is open."""
        if self._identity is None:
            raise RuntimeError("the store is not open")
        return self._identity

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.database)
        try:
            await migrate(self.database)
            self._identity = await identity_of(self.database)
            await self.database.hear()
            await self._stack.enter_async_context(self.acceptance)
            await self._stack.enter_async_context(self.changes)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()
