"""Signs events in the form of Standard Webhooks, so that receivers know who sent them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final
from uuid import UUID

from standardwebhooks.webhooks import Webhook

USER_AGENT: Final = f"Easel/{version('easel')}"


def signed(secrets: Sequence[str], delivery_id: UUID, at: datetime, body: bytes) -> dict[str, str]:
    """Returns the headers of a try at ``at``, with a signature by each valid secret.

    ``webhook-id`` is the same for every try of a delivery: by it a receiver knows repetitions.
    """
    at = at.astimezone(UTC)
    text = body.decode()
    signatures = [Webhook(secret).sign(str(delivery_id), at, text) for secret in secrets]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": str(delivery_id),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
