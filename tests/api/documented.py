"""Whether what the API answers is what its own documentation says."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx

from api.app import create_app
from core.settings import Settings

ANYWHERE: Final = frozenset({401, 405, 408, 414, 431})
"""What is answered before a route is asked, or in its place."""


@cache
def openapi() -> dict[str, Any]:
    return create_app(Settings(home=Path("nowhere"))).openapi()


def operation_of(method: str, path: str) -> dict[str, Any] | None:
    """What is documented of this address."""
    for pattern, operation in _operations():
        if pattern.fullmatch(f"{method} {path}"):
            return operation
    return None


@cache
def _operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    return [
        (re.compile(f"{method.upper()} {re.sub(r'{[^}]*}', '[^/]+', path)}"), operation)
        for path, methods in openapi()["paths"].items()
        for method, operation in methods.items()
    ]


def assert_documented(response: httpx.Response) -> None:
    """A hook for clients: no error is answered that is not documented, with its code."""
    request = response.request
    operation = operation_of(request.method.replace("HEAD", "GET"), request.url.path)
    if operation is None:
        return
    where = f"{request.method} {request.url.path}: {response.status_code}"
    documented = operation["responses"]
    if response.status_code in ANYWHERE:
        assert "default" in documented, where
        return
    assert str(response.status_code) in documented, where
    if response.is_error and request.method != "HEAD" and request.url.path != "/readyz":
        code = json.loads(response.read())["code"]
        assert f"`{code}`" in documented[str(response.status_code)]["description"], (where, code)
