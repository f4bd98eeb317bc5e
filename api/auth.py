"""Authentication: decided in one place, before anything that the application answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from api.handlers import problem_response
from core.problems import problem

OPEN: Final = (
    ("/healthz", "supervisors ask it without a key, and it says only that the process answers"),
)
"""The paths answered without asking the policy, each with its reason."""
_OPEN_PATHS: Final = frozenset(path for path, _ in OPEN)
_POLICY_VIOLATION: Final = 1008  # RFC 6455, 7.4.1


@dataclass(frozen=True)
class Principal:
    """The authenticated caller. Starlette's ``request.user``."""

    name: str


@dataclass(frozen=True)
class Refusal:
    """Why the request is refused, and how the client can authenticate."""

    detail: str
    challenge: str = "Bearer"


class Policy(Protocol):
    """Decides by address, headers and cookies, before the body is read."""

    async def decide(self, connection: HTTPConnection) -> Principal | Refusal:
        """Returns the caller, or why the request is refused. An exception is answered with 500."""
        ...


class Authentication:
    """Middleware: 401 for requests that the policy refuses, HTTP and websockets alike.

    Pure ASGI and in front of the router: dependencies of an application reach neither its mounts
    (files, the page and its websocket) nor routes that are added to its router.
    """

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan" or _is_open(scope):
            await self._app(scope, receive, send)
            return
        found = await self._policy.decide(HTTPConnection(scope))
        if isinstance(found, Refusal):
            await _answer_to(scope, found)(scope, receive, send)
        else:
            scope["user"] = found
            await self._app(scope, receive, send)


def install(app: FastAPI, policy: Policy | None) -> None:
    """Put the policy in front of ``app``. None: all are allowed, and no middleware is added."""
    if policy is not None:
        app.add_middleware(Authentication, policy=policy)


def _is_open(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["path"] in _OPEN_PATHS


def _answer_to(scope: Scope, refusal: Refusal) -> ASGIApp:
    """A websocket is refused before it is accepted, with the same 401 if the server can."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get(
        "extensions", {}
    ):
        return WebSocketClose(_POLICY_VIOLATION, "not authenticated")
    headers = {"WWW-Authenticate": refusal.challenge, "Cache-Control": "no-store"}
    return problem_response(problem("unauthorized", refusal.detail), headers)
