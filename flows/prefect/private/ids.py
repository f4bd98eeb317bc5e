"""Ids as Prefect makes them for states, events and task runs: they sort by when they were made."""

from __future__ import annotations

from uuid import UUID

from prefect._internal.uuid7 import uuid7


def new_id() -> UUID:
    """Returns a new id."""
    return uuid7()
