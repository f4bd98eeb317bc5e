"""The store of this home, for commands that work on it whether Easel runs or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import CommandError
from core.settings import Settings
from store.database import Database
from store.migrate import NEWEST, confirm_known, revision

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Database]:
    """Open the database without migrating it. Raises CommandError, and StoreError."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(settings.store_url)
    except ArgumentError as error:
        raise CommandError(f"EASEL_STORE__URL cannot be read: {error}.") from error
    shown = url.render_as_string(hide_password=True)
    if store_is_missing(url):
        raise CommandError(
            f"there is no store at {shown} yet. `easel up` creates one; --home or EASEL_HOME names "
            "another data folder."
        )
    async with Database(settings.store_url) as database:
        current = await revision(database)
        confirm_known(current)
        if current != NEWEST:
            raise CommandError(
                f"{shown} is at migration {current or 'none'}, newest is {NEWEST}. "
                "`easel up` brings it up to date."
            )
        yield database


def store_is_missing(url: URL) -> bool:
    """Returns whether the database is a file that does not exist yet."""
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()
