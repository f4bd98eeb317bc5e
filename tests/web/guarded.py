"""The application as it is served, but only to those who say the key."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from starlette.requests import HTTPConnection

from api.auth import Principal, Refusal
from web.app import create_app as create_served

KEY: Final = "open-sesame"
HEADERS: Final = {"X-Test-Key": KEY}


class WithKey:
    """Admits requests that have the key in a header."""

    async def decide(self, connection: HTTPConnection) -> Principal | Refusal:
        if connection.headers.get("x-test-key") == KEY:
            return Principal("tester")
        return Refusal("say the key")


def create_app() -> FastAPI:
    """What ``uvicorn tests.web.guarded:create_app --factory`` serves."""
    return create_served(policy=WithKey())
