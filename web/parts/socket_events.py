"""What comes over a page's websocket, checked before NiceGUI reads it.

Anything that is not as its script sends it raised there, with a traceback in the log for each
message; and it wrote a client's own text into the log.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

_CHECKED: Final = ("event", "javascript_response", "ack")
_log = logging.getLogger(__name__)


def guard(server: Any) -> None:
    """Let only well-formed messages pass to a ``socketio.AsyncServer``. May be called again."""
    handlers: dict[str, Any] = server.handlers["/"]
    for name in _CHECKED:
        if not hasattr(handlers[name], "__wrapped__"):
            server.on(name, _checked(name, handlers[name]))
    server.on("log", _ignored)
    read = server.eio.handlers["message"]
    if not hasattr(read, "__wrapped__"):
        server.eio.on("message", _closing(server.eio, read))


def _closing(connections: Any, read: Callable[[str, Any], Awaitable[None]]) -> Any:
    """Returns the reader of packets; one that cannot be read ends its connection, unlogged.

    Handlers of events run in tasks of their own, so errors here are the packet's.
    """

    @functools.wraps(read)
    async def reading(connection_id: str, packet: Any) -> None:
        try:
            await read(connection_id, packet)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            _log.debug("a malformed packet was ignored: %s", type(error).__name__)
            await connections.disconnect(connection_id)

    return reading


def _checked(name: str, handler: Callable[[str, dict[str, Any]], Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def checked(socket_id: str, message: Any = None, *_: Any) -> Any:
        if not isinstance(message, dict):
            return None
        try:
            return handler(socket_id, message)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Handlers of pages report their own errors: this is the message's.
            _log.debug("a malformed %s was ignored: %s", name, type(error).__name__)
            return None

    return checked


def _ignored(*_: Any) -> None:
    """Browsers' messages for the log are not needed, and could forge lines of it."""
