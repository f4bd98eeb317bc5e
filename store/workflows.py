"""Imported workflows: their newest versions by name, and every version that there was."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, RowMapping, select, tuple_, update

from core.stored import read_stored, reason_of
from core.workflows.declaration import Workflow
from store.database import Database, insert_into, reads, writes
from store.errors import ConflictError, NotFoundError, VersionConflictError
from store.tables import workflow_versions, workflows

_log = logging.getLogger(__name__)
_KEPT: Final = 500
"""Versions that are kept in memory: reading and parsing one of a large graph takes milliseconds."""
_READ_TOGETHER: Final = 50
_Key = tuple[str, str]
"""Name and version."""


@dataclass(frozen=True)
class StoredWorkflow:
    """A workflow with its times. ``hidden_at``: when it was removed; what uses it goes on."""

    workflow: Workflow
    created_at: datetime
    updated_at: datetime
    hidden_at: datetime | None = None


class Workflows:
    """Reads and writes them. Every method raises StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[_Key, Workflow] = OrderedDict()

    async def all(self) -> tuple[StoredWorkflow, ...]:
        """Returns those that are not hidden, by name. One that cannot be read is left out."""
        rows = await self._rows(workflows.c.hidden_at.is_(None))
        known = await self._versions([(row["name"], row["version"]) for row in rows])
        found = ((row, known.get((row["name"], row["version"]))) for row in rows)
        return tuple(_stored(row, one) for row, one in found if one is not None)

    @reads
    def _rows(self, connection: Connection, which: ColumnElement[bool]) -> Sequence[RowMapping]:
        statement = select(workflows).where(which).order_by(workflows.c.name)
        return connection.execute(statement).mappings().all()

    @reads
    def names(self, connection: Connection) -> tuple[str, ...]:
        """Returns the names of those that are not hidden, in order."""
        statement = select(workflows.c.name).where(workflows.c.hidden_at.is_(None))
        return tuple((connection.execute(statement.order_by("name"))).scalars())

    @reads
    def versions(self, connection: Connection) -> dict[str, str]:
        """Returns the version of each that is not hidden, by its name."""
        statement = select(workflows.c.name, workflows.c.version)
        found = connection.execute(statement.where(workflows.c.hidden_at.is_(None)))
        return {row.name: row.version for row in found}

    async def get(self, name: str, *, hidden: bool = False) -> StoredWorkflow:
        """Returns the newest version. Raises NotFoundError, for a hidden one unless ``hidden``."""
        row = next(iter(await self._rows(workflows.c.name == name)), None)
        if row is None or (row["hidden_at"] is not None and not hidden):
            raise NotFoundError(f"no workflow called {name}")
        key = name, row["version"]
        found = (await self._versions([key])).get(key)
        if found is None:
            raise NotFoundError(f"no workflow called {name} can be read")
        return _stored(row, found)

    async def version(self, name: str, version: str) -> Workflow:
        """Returns a version that a generation was accepted with. Raises NotFoundError."""
        found = (await self._versions([(name, version)])).get((name, version))
        if found is None:
            raise NotFoundError(f"version {version} of the workflow {name} cannot be read")
        return found

    @writes
    def add(self, connection: Connection, workflow: Workflow) -> StoredWorkflow:
        """Store a new one, in the place of a hidden one. ConflictError while its name is taken."""
        now = datetime.now(UTC)
        row = _locked(connection, workflow.name)
        if row is not None and row["hidden_at"] is None:
            raise ConflictError(f"there is a workflow called {workflow.name} already")
        _put_version(connection, workflow, now)
        values = {"version": workflow.version, "updated_at": now, "hidden_at": None}
        written = connection.execute(
            insert_into(connection, workflows)
            .values(name=workflow.name, created_at=now, **values)
            .on_conflict_do_update(
                index_elements=["name"], set_=values, where=workflows.c.hidden_at.is_not(None)
            )
            .returning(workflows.c.name)
        )
        if written.first() is None:  # another process has just added one
            raise ConflictError(f"there is a workflow called {workflow.name} already")
        return StoredWorkflow(workflow, row["created_at"] if row is not None else now, now)

    @writes
    def change(self, connection: Connection, workflow: Workflow, of_version: str) -> StoredWorkflow:
        """Store a new version of the one that has its name, which must be of ``of_version`` now.

        Raises NotFoundError, VersionConflictError.
        """
        now = datetime.now(UTC)
        row = _locked(connection, workflow.name)
        if row is None or row["hidden_at"] is not None:
            raise NotFoundError(f"no workflow called {workflow.name}")
        if row["version"] != of_version:
            raise VersionConflictError(
                f"the workflow {workflow.name} has been changed since: it is of version "
                f"{row['version']} now"
            )
        _put_version(connection, workflow, now)
        connection.execute(
            update(workflows)
            .where(workflows.c.name == workflow.name)
            .values(version=workflow.version, updated_at=now)
        )
        return StoredWorkflow(workflow, row["created_at"], now)

    @writes
    def hide(self, connection: Connection, name: str) -> None:
        """Remove it from what is offered. No-op for a hidden one; raises NotFoundError."""
        row = _locked(connection, name)
        if row is None:
            raise NotFoundError(f"no workflow called {name}")
        if row["hidden_at"] is None:
            connection.execute(
                update(workflows)
                .where(workflows.c.name == name)
                .values(hidden_at=datetime.now(UTC))
            )

    async def _versions(self, keys: Sequence[_Key]) -> dict[_Key, Workflow]:
        """Returns these versions by name and version, but those that cannot be read.

        A version never changes: its document is read and parsed once, in a thread.
        """
        found = {key: known for key in keys if (known := self._known.get(key)) is not None}
        missing = [key for key in keys if key not in found]
        for start in range(0, len(missing), _READ_TOGETHER):
            documents = await self._documents(missing[start : start + _READ_TOGETHER])
            found.update(await asyncio.to_thread(_parsed, documents))
        for key in keys:
            if key in found:
                self._known[key] = found[key]
                self._known.move_to_end(key)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found

    @reads
    def _documents(self, connection: Connection, keys: Sequence[_Key]) -> dict[_Key, Any]:
        table = workflow_versions.c
        statement = select(table.name, table.version, table.document).where(
            tuple_(table.name, table.version).in_(keys)
        )
        rows = (connection.execute(statement)).tuples()
        return {(name, version): document for name, version, document in rows}


def _stored(row: RowMapping, workflow: Workflow) -> StoredWorkflow:
    return StoredWorkflow(workflow, row["created_at"], row["updated_at"], row["hidden_at"])


def _parsed(documents: Mapping[_Key, Any]) -> dict[_Key, Workflow]:
    found: dict[_Key, Workflow] = {}
    for key, document in documents.items():
        try:
            found[key] = read_stored(Workflow, document)
        except ValidationError as error:
            _log.warning("The workflow %s cannot be read: %s", key[0], reason_of(error))
    return found


def _locked(connection: Connection, name: str) -> RowMapping | None:
    found = connection.execute(select(workflows).where(workflows.c.name == name).with_for_update())
    return found.mappings().first()


def _put_version(connection: Connection, workflow: Workflow, now: datetime) -> None:
    connection.execute(
        insert_into(connection, workflow_versions)
        .values(
            name=workflow.name,
            version=workflow.version,
            document=workflow.model_dump(mode="json"),
            created_at=now,
        )
        .on_conflict_do_nothing()  # it was of this version before
    )
