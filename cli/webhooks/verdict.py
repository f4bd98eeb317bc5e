"""Whether a request to the trial receiver was sent by Easel: its signature by a known secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from cli.console import BAD_USAGE, CommandError


def check_secret(secret: str) -> str:
    """Returns a secret that can verify. Raises CommandError, which does not show it."""
    try:
        Webhook(secret)
    except (ValueError, EmptyWebhookSecretError) as error:
        raise CommandError(
            "--secret is not one of Easel's: `easel webhooks secret` prints those (whsec_…).",
            BAD_USAGE,
        ) from error
    return secret


def why_not_verified(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> str | None:
    """Returns why no secret verifies a request; None if one does."""
    why = "no secret is known here: start Easel once, which creates one, or give --secret"
    for secret in secrets:
        try:
            Webhook(secret).verify(body, dict(headers), json_parse=False)
        except WebhookVerificationError as error:
            why = str(error)
        except ValueError:
            why = "the signature cannot be read"
        else:
            return None
    return why
