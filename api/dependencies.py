"""The objects that the application opened at startup (``api.context``), for its routes."""

from __future__ import annotations

from typing import TypeVar, cast

from fastapi import Request

_T = TypeVar("_T")


def opened(request: Request, kind: type[_T]) -> _T:
    """Returns the application's one object of this type.

    Looked up by type, so that a room's routes name only that room: ``Context`` names all of them.
    """
    return cast("_T", request.app.state.opened[kind])
