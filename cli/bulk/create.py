"""Creating a batch, or its plan; and what the API's refusals mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from cli.batch_body import BatchBody
from cli.bulk.follow import patiently
from cli.bulk.wording import refused_rows
from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError
from cli.console import BAD_USAGE, FAILED, UNREACHABLE, CommandError
from cli.generate.command import field_lines
from core.problems import FieldProblem

PATIENCE_S: Final = 60.0
"""How long a create whose answer was lost is retried."""
_OTHER_OPTIONS: Final = (
    "this file was given before, with other options (--max-in-flight, "
    "--stop-after-failures, --stop-at-failure-share, --not-after, --timezone, --callback-url, "
    "--callback, --callback-event). Give those of the first time to "
    "continue its batch, or create a new one with --again."
)
_OPTIONS: Final = {"callback_events": "--callback-event"}
"""The options that are not called as their query parameters are."""
_NOT_TAKEN: Final = frozenset({400, 413, 415, 422})
_NO_SUCH_ROUTE: Final = frozenset({404, 405})


class NotCreatedError(CommandError):
    """Nothing was created; ``bad_rows`` are the reason if rows are to blame."""

    def __init__(self, message: str, exit_code: int, bad_rows: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message, exit_code)
        self.bad_rows = tuple(bad_rows)


async def plan(client: ApiClient, body: BatchBody) -> dict[str, Any]:
    """Returns what the batch would make. NotCreatedError when it could not be made."""
    try:
        return await client.plan_batch(body)
    except (ApiUnreachableError, ApiRefusedError) as error:
        raise not_created(error, client.url) from error


async def create(client: ApiClient, body: BatchBody) -> tuple[dict[str, Any], bool]:
    """Returns the batch's document, and whether it existed before. Raises NotCreatedError."""
    sending = _Sending(client, body)
    try:
        return await patiently(sending.send, PATIENCE_S)
    except (ApiUnreachableError, ApiRefusedError) as error:
        raise not_created(error, client.url) from error


class _Sending:
    """Retries a create only when its answer was lost, so that other failures show at once."""

    def __init__(self, client: ApiClient, body: BatchBody) -> None:
        self._client = client
        self._body = body
        self._reached = False

    async def send(self) -> tuple[dict[str, Any], bool]:
        """Returns the answer. Raises ApiUnreachableError for what ``patiently`` shall retry."""
        try:
            return await self._client.create_batch(self._body)
        except ApiUnreachableError as error:
            away = isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
            if away and not self._reached:
                raise not_created(error, self._client.url) from error
            self._reached = True
            raise
        except ApiRefusedError as error:
            if error.problem.get("code") != "idempotency_in_flight":
                raise not_created(error, self._client.url) from error
            self._reached = True
            raise ApiUnreachableError(str(error)) from error


def not_created(error: ApiUnreachableError | ApiRefusedError, url: str) -> NotCreatedError:
    """Returns the message and the exit code for a batch that was not created."""
    if isinstance(error, ApiUnreachableError):
        advice = "Start Easel with `easel up`, or name its address with --api URL"
        return NotCreatedError(f"{error}. {advice} (or EASEL_API_URL).", UNREACHABLE)
    code, errors = error.problem.get("code"), error.problem.get("errors") or []
    if code == "invalid_manifest":
        return NotCreatedError(str(error), BAD_USAGE, refused_rows(errors))
    if code == "idempotency_mismatch":
        return NotCreatedError(_OTHER_OPTIONS, BAD_USAGE)
    if error.status in _NO_SUCH_ROUTE:
        return NotCreatedError(f"{url} answers, but not as Easel does.", UNREACHABLE)
    if error.status == 422 and errors:
        lines = field_lines([_as_option(each) for each in errors])
        return NotCreatedError(f"the batch is not valid. Nothing was created.\n{lines}", BAD_USAGE)
    return NotCreatedError(str(error), BAD_USAGE if error.status in _NOT_TAKEN else FAILED)


def _as_option(error: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a query parameter's problem as one of the option that it came from."""
    place, *rest = error["loc"] or [""]
    if place != "query" or not rest:
        return dict(error)
    name = str(rest[0])
    return {**error, "loc": [_OPTIONS.get(name, f"--{name.replace('_', '-')}")]}
