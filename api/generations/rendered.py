"""An output that is yet to be kept, as an answer: never stored, never executed by a browser."""

from __future__ import annotations

from typing import Final

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.generations.renderings import Rendering
from core.artefacts import is_shown, served_type
from store.values import Generation

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class _Response(StreamingResponse):
    """Closes what it sends, also when the client is gone before it begins."""

    def __init__(self, rendering: Rendering, headers: dict[str, str]) -> None:
        media_type = served_type(rendering.type.content_type)
        super().__init__(rendering.chunks, 200, headers, media_type)
        self._close = rendering.close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._close()


def sent(rendering: Rendering, generation: Generation, number: int) -> StreamingResponse:
    """Returns the answer with an output; as a download unless browsers only show such files."""
    shown = "inline" if is_shown(rendering.type.content_type) else "attachment"
    name = f"easel-{generation.id.hex[:8]}-{number}.{rendering.type.extension}"
    headers = {**_HEADERS, "Content-Disposition": f'{shown}; filename="{name}"'}
    if rendering.length is not None:
        headers["Content-Length"] = str(rendering.length)
    return _Response(rendering, headers)
