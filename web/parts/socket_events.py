"""What comes over a page's websocket, checked before NiceGUI reads it.

Anything that is not as its script sends it raised there, with a traceback in the log for each
message; and it wrote a client's own text into the log.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
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
