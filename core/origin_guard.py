"""Refuses what another site's page makes a browser send: a foreign Host or a foreign Origin.

A server on this machine is reachable by every page that its user opens. A browser names the host
that the page asked for (``Host``: foreign after DNS rebinding) and the page that asks (``Origin``,
``Sec-Fetch-Site``: foreign in cross-site request forgery and on websockets). Programs such as curl
name the right host and no page, so they notice nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from core.problems import Problem, problem

SETTING: Final = "EASEL_ALLOWED_HOSTS"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::([0-9]{1,5}))?", re.ASCII)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SHOWN: Final = 100
"""Maximum characters of a foreign name that are repeated in the answer."""
_POLICY_VIOLATION: Final = 1008  # RFC 6455, 7.4.1


class OriginGuard:
    """Middleware: 403 for a host name that is not Easel's, and for another site's requests.

    Addresses, ``localhost`` and ``*.localhost`` are always Easel's: no foreign DNS answer can make
    them lead here. ``names`` are further host names; ``origins`` are addresses that pages of this
    server have in the browser when a reverse proxy rewrites ``Host``.

    Another site may link here, and show what is below the paths ``embeddable``, such as pictures.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: Iterable[str] = (),
        origins: Iterable[str] = (),
        embeddable: tuple[str, ...] = (),
    ) -> None:
        self._app = app
        self._embeddable = embeddable
        self._names = frozenset(name.lower() for name in names)
        self._origins = frozenset(filter(None, map(_place_of, origins)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] in {"http", "websocket"}:
            found = self._problem_with(scope)
            if found is not None:
                await _refusal(scope, found)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _problem_with(self, scope: Scope) -> Problem | None:
        hosts = _values(scope, b"host")
        if len(hosts) != 1:
            return problem("bad_request", "the request must have exactly one Host header")
        host = _HOST.fullmatch(hosts[0].lower())
        if host is None:
            return problem("bad_request", "the Host header is not a host name and a port")
        name = (host[1] or host[2]).removesuffix(".")
        if not self._is_ours(name):
            return problem(
                "unknown_host",
                f"{name[:_SHOWN]} is not a name of this server. If it is to be one, list it in "
                f"{SETTING}; else use the server's address.",
            )
        port = int(host[3]) if host[3] else None
        origins = _values(scope, b"origin")
        if not all(self._is_same(origin, name, port, scope) for origin in origins):
            return problem("foreign_origin", _FOREIGN)
        if not origins and _comes_from_elsewhere(scope) and not self._may_be_asked_for(scope):
            return problem("foreign_origin", _FOREIGN)
        return None

    def _may_be_asked_for(self, scope: Scope) -> bool:
        """Returns whether another site's page may make a browser send this, unread by the page."""
        if scope["type"] == "websocket" or scope["method"] not in _SAFE:
            return False
        mode, where = _values(scope, b"sec-fetch-mode"), _values(scope, b"sec-fetch-dest")
        is_link = mode == ["navigate"] and where == ["document"]
        return is_link or scope["path"].startswith(self._embeddable)

    def _is_ours(self, name: str) -> bool:
        if name == "localhost" or name.endswith(".localhost") or name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_same(self, origin: str, name: str, port: int | None, scope: Scope) -> bool:
        """Returns whether a page of this origin is one of this server's.

        The scheme is not compared: a proxy may speak TLS to the browser and not to this server.
        """
        place = _place_of(origin)
        if place is None:  # "null" too: a sandboxed frame, a file, a redirect from elsewhere
            return False
        if place in self._origins:
            return True
        origin_name, origin_port = place
        if origin_name != name:
            return False
        default = _DEFAULT_PORTS.get(urlsplit(origin).scheme)
        if origin_port == (port or default):
            return True
        # A proxy that passes the name on without the port: there is no port to compare.
        return port is None and name in self._names and not _listens_on_default_port(scope)


_FOREIGN: Final = (
    "pages of other sites may not send requests to this server. If the page is its own, behind a "
    "reverse proxy: let the proxy pass the Host header on, or set the address that browsers use "
    "(EASEL_API__PUBLIC_URL, for Prefect EASEL_PREFECT__UI_URL)"
)


def _place_of(address: str) -> tuple[str, int] | None:
    """Returns host name and port of an origin or URL; None if it has none."""
    try:
        parts = urlsplit(address.lower())
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        return (parts.hostname.removesuffix("."), port) if parts.hostname else None
    except (ValueError, KeyError):
        return None


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _comes_from_elsewhere(scope: Scope) -> bool:
    return not {"cross-site", "same-site"}.isdisjoint(_values(scope, b"sec-fetch-site"))


def _listens_on_default_port(scope: Scope) -> bool:
    server = scope.get("server")
    return server is not None and server[1] in _DEFAULT_PORTS.values()


def _refusal(scope: Scope, found: Problem) -> ASGIApp:
    """A websocket is refused before it is accepted, with the same answer if the server can."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get(
        "extensions", {}
    ):
        return WebSocketClose(_POLICY_VIOLATION, found.title)
    found = found.model_copy(update={"request_id": str(uuid4())})
    return Response(
        found.model_dump_json(exclude_none=True),
        status_code=found.status,
        media_type="application/problem+json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )
