"""Model files: what workers found out of those of their ComfyUIs, and what the owner says of them.

Each change of a ComfyUI's files, and of the settings, gives it another digest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, delete, select, tuple_

from store.database import Database, insert_into, reads, writes
from store.tables import model_digests, model_files, model_settings

SETTINGS: Final = "settings"
"""Under which name the settings have a digest; it is no URL."""
_TOGETHER: Final = 200
"""Rows of one statement: SQLite takes only so many values."""
FileKey = tuple[str, str]
"""Folder and name."""


@dataclass(frozen=True)
class FileState:
    """By what a file is known again: another state means that it is to be read.

    ``size`` is in bytes, ``modified`` in seconds since 1970. ``read_by`` says who read it, in the
    words of whoever writes it.
    """

    size: int | None
    modified: float | None
    read_by: str


@dataclass(frozen=True)
class KeptFile:
    """A file of a ComfyUI's folder, with what is known of it as a plain object."""

    folder: str
    name: str
    state: FileState
    data: dict[str, Any]


@dataclass(frozen=True)
class KeptSetting:
    """What the owner says of a file; None is no word."""

    folder: str
    name: str
    family: str | None = None
    text_encoders: tuple[str, ...] | None = None
    vae: str | None = None


class ModelRegistry:
    """Workers write here what their ComfyUIs have, the API what the owner says; both read it.

    Every method raises StoreUnavailableError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @writes
    def keep(
        self,
        connection: Connection,
        comfy_url: str,
        found: Sequence[KeptFile],
        gone: Collection[FileKey] = (),
    ) -> None:
        """Store what was found of a ComfyUI's files, and remove those that are gone."""
        rows = [
            {
                "comfy_url": comfy_url,
                "folder": one.folder,
                "name": one.name,
                **asdict(one.state),
                "data": one.data,
            }
            for one in found
        ]
        removed = list(gone)
        for start in range(0, len(rows), _TOGETHER):
            _put_files(connection, rows[start : start + _TOGETHER])
        for start in range(0, len(removed), _TOGETHER):
            key = tuple_(model_files.c.folder, model_files.c.name)
            connection.execute(
                delete(model_files).where(
                    model_files.c.comfy_url == comfy_url,
                    key.in_(removed[start : start + _TOGETHER]),
                )
            )
        _changed(connection, comfy_url)

    @reads
    def states(self, connection: Connection, comfy_url: str) -> dict[FileKey, FileState]:
        """Returns by what a ComfyUI's files are known again."""
        columns = model_files.c
        statement = select(
            columns.folder, columns.name, columns.size, columns.modified, columns.read_by
        ).where(columns.comfy_url == comfy_url)
        return {
            (row.folder, row.name): FileState(row.size, row.modified, row.read_by)
            for row in connection.execute(statement)
        }

    @reads
    def files(self, connection: Connection, comfy_url: str) -> tuple[dict[str, Any], ...]:
        """Returns what is known of a ComfyUI's files, by folder and name."""
        columns = model_files.c
        statement = (
            select(columns.data)
            .where(columns.comfy_url == comfy_url)
            .order_by(columns.folder, columns.name)
        )
        return tuple((connection.execute(statement)).scalars())

    @reads
    def digests(self, connection: Connection) -> dict[str, str]:
        """Returns the digests by ComfyUI's URL, and that of ``SETTINGS``; none before a change."""
        statement = select(model_digests.c.subject, model_digests.c.digest)
        return {row.subject: row.digest for row in connection.execute(statement)}

    @reads
    def settings(self, connection: Connection) -> tuple[KeptSetting, ...]:
        """Returns what the owner says, by folder and name."""
        statement = select(model_settings).order_by(model_settings.c.folder, model_settings.c.name)
        rows = (connection.execute(statement)).mappings().all()
        return tuple(
            KeptSetting(
                row["folder"],
                row["name"],
                row["family"],
                None if row["text_encoders"] is None else tuple(row["text_encoders"]),
                row["vae"],
            )
            for row in rows
        )

    @writes
    def set(self, connection: Connection, setting: KeptSetting) -> None:
        """Store what the owner says of a file; one that says nothing is removed."""
        columns = model_settings.c
        said = {
            "family": setting.family,
            "text_encoders": None if setting.text_encoders is None else list(setting.text_encoders),
            "vae": setting.vae,
        }
        if all(value is None for value in said.values()):
            connection.execute(
                delete(model_settings).where(
                    columns.folder == setting.folder, columns.name == setting.name
                )
            )
        else:
            values = {**said, "set_at": datetime.now(UTC)}
            connection.execute(
                insert_into(connection, model_settings)
                .values(folder=setting.folder, name=setting.name, **values)
                .on_conflict_do_update(index_elements=["folder", "name"], set_=values)
            )
        _changed(connection, SETTINGS)


def _put_files(connection: Connection, rows: list[dict[str, Any]]) -> None:
    statement = insert_into(connection, model_files)
    changed = {name: statement.excluded[name] for name in ("size", "modified", "read_by", "data")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["comfy_url", "folder", "name"], set_=changed
        ),
        rows,
    )


def _changed(connection: Connection, subject: str) -> None:
    digest = uuid4().hex
    connection.execute(
        insert_into(connection, model_digests)
        .values(subject=subject, digest=digest)
        .on_conflict_do_update(index_elements=["subject"], set_={"digest": digest})
    )
