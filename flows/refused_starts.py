"""Why the API or the worker does not start, as it is told to those who start it."""

from __future__ import annotations

import sys
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.errors import OtherStoreError
from store.errors import ArtefactStoreError, NewerStoreError, StoreUnavailableError

EXPECTED: Final = (OtherStoreError, StoreUnavailableError, NewerStoreError, ArtefactStoreError)
"""What settings or other programs cause: told in a message, without a traceback."""


def why_refused(error: BaseException) -> str:
    """Returns what is wrong and what to do, in full sentences."""
    match error:
        case StoreUnavailableError():
            advice = "EASEL_STORE__URL names the database; without it, it is in the data folder."
        case ArtefactStoreError():
            advice = "EASEL_STORE__IMAGES_URL names where images are stored."
        case _:
            return f"{error}."
    return f"{error}. {advice} `easel doctor` checks it."


class RefusedStarts:
    """Middleware: an application that cannot start says why in place of a traceback.

    Starlette reports the traceback of any error in the lifespan, and servers log what is reported.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""

        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                error = sys.exception()  # Starlette reports it while it handles it
                if isinstance(error, EXPECTED):
                    message = {**message, "message": why_refused(error)}
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "lifespan" else send)
