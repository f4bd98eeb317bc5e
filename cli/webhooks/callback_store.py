"""What a home's store knows of callbacks, for commands that work whether Easel runs or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from cli.console import BAD_USAGE, CommandError
from cli.opened_store import opened_store
from core.ids import parse_generation_id
from core.settings import Settings
from core.wording import nearest, written
from store.callbacks.deliveries import Deliveries
from store.callbacks.secrets import Secrets
from store.callbacks.stored import Callbacks
from store.errors import StoreError
from store.workers import Registry


@dataclass(frozen=True)
class CallbackStore:
    """The parts of a store that callbacks need."""

    callbacks: Callbacks
    deliveries: Deliveries
    secrets: Secrets
    registry: Registry


@asynccontextmanager
async def callback_store(settings: Settings) -> AsyncIterator[CallbackStore]:
    """Open them. Raises CommandError, also in the place of the store's errors."""
    try:
        async with opened_store(settings) as database:
            yield CallbackStore(
                Callbacks(database), Deliveries(database), Secrets(database), Registry(database)
            )
    except (StoreError, OSError) as error:
        raise CommandError(f"{error}.") from error


async def no_such_callback(callbacks: Callbacks, name: str) -> CommandError:
    """Returns the error for a name that no stored callback has; its text has near matches."""
    near = nearest(name, sorted(await callbacks.names()), what="stored callbacks")
    return CommandError(
        f"no callback called {written(name)} is stored; {near}. `easel webhooks list` shows all, "
        "`easel webhooks add NAME URL` stores one."
    )


def read_id(text: str, what: str) -> UUID:
    """Returns the id. Raises CommandError for a text that is none."""
    found = parse_generation_id(text.strip().lower())
    if found is None:
        raise CommandError(
            f"{written(text)} is not the id of a {what}: one is such as "
            "11111111-1111-4111-8111-111111111111. `easel webhooks list` shows deliveries.",
            BAD_USAGE,
        )
    return found
