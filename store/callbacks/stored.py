"""Stored callbacks, and addresses that are switched off because their receiver is gone."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, delete, select, update

from store.callbacks.events import not_stored
from store.callbacks.values import Delivery, StoredCallback, Target
from store.database import Database, insert_into, reads, writes
from store.errors import NotFoundError
from store.tables import callbacks


class Callbacks:
    """Reads and writes them. Every method raises StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @reads
    def all(self, connection: Connection) -> tuple[StoredCallback, ...]:
        """Returns the stored callbacks by name, then the addresses that are switched off."""
        columns = (callbacks.c.name, callbacks.c.url, callbacks.c.created_at, callbacks.c.off_at)
        statement = select(*columns).order_by(
            callbacks.c.name.is_(None), callbacks.c.name, callbacks.c.url
        )
        rows = (connection.execute(statement)).mappings()
        return tuple(StoredCallback(**row) for row in rows)

    @reads
    def names(self, connection: Connection) -> frozenset[str]:
        """Returns the names of the stored callbacks."""
        statement = select(callbacks.c.name).where(callbacks.c.name.is_not(None))
        return frozenset((connection.execute(statement)).scalars())

    @reads
    def target(self, connection: Connection, delivery: Delivery) -> Target:
        """Returns where a delivery goes now. NotFoundError if its callback is not stored any more.

        A stored callback's URL may have been changed since the event.
        """
        found = target_of(connection, delivery)
        if found is None:
            raise NotFoundError(not_stored(delivery.name))
        return found

    @writes
    def add(self, connection: Connection, name: str, url: str) -> None:
        """Store a callback; one that has the name gets this URL, and is switched on."""
        values = {"name": name, "url": url, "created_at": datetime.now(UTC), "off_at": None}
        connection.execute(
            insert_into(connection, callbacks)
            .values(**values)
            .on_conflict_do_update(index_elements=["name"], set_=values)
        )

    @writes
    def remove(self, connection: Connection, name: str) -> None:
        """Remove a stored callback: events for it fail from now on. Raises NotFoundError."""
        done = connection.execute(delete(callbacks).where(callbacks.c.name == name))
        if done.rowcount == 0:
            raise NotFoundError(f"no callback called {name} is stored")

    @writes
    def enable(self, connection: Connection, name_or_url: str) -> None:
        """Switch a stored callback or an address on again. Raises NotFoundError if it is neither.

        No-op when a stored callback is on.
        """
        named = connection.execute(
            update(callbacks).where(callbacks.c.name == name_or_url).values(off_at=None)
        )
        address = connection.execute(
            delete(callbacks).where(callbacks.c.name.is_(None), callbacks.c.url == name_or_url)
        )
        if named.rowcount + address.rowcount == 0:
            raise NotFoundError(
                f"{name_or_url} is neither a stored callback nor an address that is switched "
                "off: see `easel webhooks list`"
            )

    @writes
    def switch_off(self, connection: Connection, name: str | None, url: str) -> None:
        """Send nothing more to a stored callback, or to an address: its receiver is gone."""
        now = datetime.now(UTC)
        done = connection.execute(
            update(callbacks).where(_is(name, url), callbacks.c.url == url).values(off_at=now)
        )
        if done.rowcount == 0 and name is None:
            connection.execute(
                insert_into(connection, callbacks)
                .values(url=url, created_at=now, off_at=now)
                .on_conflict_do_nothing()  # another delivery has heard so meanwhile
            )


def _is(name: str | None, url: str | None) -> ColumnElement[bool]:
    if name is not None:
        return callbacks.c.name == name
    return callbacks.c.name.is_(None) & (callbacks.c.url == url)


def target_of(connection: Connection, delivery: Delivery) -> Target | None:
    """Returns where a delivery goes now; None if its callback is not stored any more."""
    statement = select(callbacks.c.url, callbacks.c.off_at).where(_is(delivery.name, delivery.url))
    found = (connection.execute(statement)).first()
    if found is not None:
        return Target(found.url, found.off_at)
    return None if delivery.url is None else Target(delivery.url, None)
