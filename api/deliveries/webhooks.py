"""The webhooks section of the OpenAPI document: what Easel sends to receivers."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import FastAPI, Header
from fastapi.responses import Response

from api.deliveries.bodies import BatchEventDocument, GenerationEventDocument
from core.callbacks.callback import BATCH_EVENTS, GENERATION_EVENTS

_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    410: {"description": "Gone: the address is switched off, and nothing more is sent to it."},
    "default": {
        "description": "Anything else, or no answer within 15 seconds: it is sent again later, for "
        "three days. `Retry-After` is heeded up to a day; redirects are not followed."
    },
}
_HAPPENED: Final = {
    "running": "began to run",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "was cancelled",
}
_SIGNED: Final = (
    "Signed as in [Standard Webhooks](https://www.standardwebhooks.com): verify it with the secret "
    "that `easel webhooks secret` shows, before anything else. The same event can arrive more than "
    "once: `webhook-id` tells."
)
WebhookId = Annotated[
    str, Header(description="The delivery's id: the same in every try, new for each event.")
]
WebhookTimestamp = Annotated[
    int, Header(description="When this try was sent, in seconds since 1970 (UTC).")
]
WebhookSignature = Annotated[
    str,
    Header(
        description="`v1,` and the signature (HMAC-SHA256, in base64) of "
        "`{webhook-id}.{webhook-timestamp}.{body}`; several, with blanks between them, while the "
        "secret is being rotated."
    ),
]


async def _of_generation(
    body: GenerationEventDocument,
    webhook_id: WebhookId,
    webhook_timestamp: WebhookTimestamp,
    webhook_signature: WebhookSignature,
) -> None:
    """Never called: FastAPI documents its parameters."""


async def _of_batch(
    body: BatchEventDocument,
    webhook_id: WebhookId,
    webhook_timestamp: WebhookTimestamp,
    webhook_signature: WebhookSignature,
) -> None:
    """Never called: FastAPI documents its parameters."""


def document(app: FastAPI) -> None:
    """Add a webhook for each type of event to the application's documentation."""
    for events, sent in ((GENERATION_EVENTS, _of_generation), (BATCH_EVENTS, _of_batch)):
        for event in events:
            of, _, status = event.partition(".")
            app.webhooks.post(
                event,
                summary=f"A {of} {_HAPPENED[status]}",
                description=_SIGNED,
                tags=["callbacks"],
                response_class=Response,
                response_description="Taken, as by any other 2xx: it is not sent again.",
                responses=_ANSWERS,
                operation_id=event.replace(".", "_"),
            )(sent)
