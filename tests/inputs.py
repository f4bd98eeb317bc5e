"""The inputs of a request, as tests compare them."""

from __future__ import annotations

from typing import Any

from core.requests import RequestFields


def picked(request: RequestFields, *names: str) -> tuple[Any, ...]:
    """The values of these inputs; None for one that is not given."""
    return tuple(request.inputs.get(name) for name in names)
