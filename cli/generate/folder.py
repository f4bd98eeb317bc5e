"""``easel generate`` with a folder of files for an input: one batch, an item for each file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from cli.batch_body import BatchBody
from cli.bulk.create import NotCreatedError, create
from cli.bulk.follow import patiently
from cli.bulk.pictures import BatchPictures
from cli.bulk.watch import watch_batch
from cli.bulk.wording import print_bad_rows
from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError, outputs_of
from cli.console import FAILED, INTERRUPTED, UNREACHABLE, CommandError, console_on
from cli.generate.command import Asked, Order, Outcome, report
from cli.warned import tell_warnings
from core.status import FINAL
from core.urls import without_userinfo

_CANCEL_S: Final = 5.0


async def generate_folder(client: ApiClient, order: Order, asked: Asked) -> int:
    """Create the batch, follow it, save what is made. Returns the exit code.

    Raises CommandError if nothing was created, or the API is away for long.
    """
    try:
        batch, _ = await create(client, _body(order, asked))
    except NotCreatedError as error:
        print_bad_rows(error.bad_rows)
        raise
    page = f"{without_userinfo(client.url)}/b/{batch['batch_id']}"
    console_on(sys.stderr).print(f"{batch['name']}: {batch['total']} to generate, {page}")
    titles = [file.stem for file in asked.files for _ in range(order.count)]
    pictures = BatchPictures(client, batch["batch_id"], order.folder, titles)
    try:
        await watch_batch(client, batch, pictures)
        outcomes = await _outcomes(client, order, batch["batch_id"], pictures)
    except asyncio.CancelledError:
        console_on(sys.stderr).print("Interrupted: cancelling …")
        await _cancel(client, batch["batch_id"])
        return INTERRUPTED
    except (ApiUnreachableError, ApiRefusedError) as error:
        code = UNREACHABLE if isinstance(error, ApiUnreachableError) else FAILED
        raise CommandError(f"{error}. Nothing is lost: see {page}.", code) from error
    except OSError as error:
        said = f"The batch goes on, but a file could not be written ({error}). See {page}."
        raise CommandError(said, FAILED) from error
    return report(order, outcomes)


def _body(order: Order, asked: Asked) -> BatchBody:
    """Returns the request of the batch. A lost answer is asked for again by its key."""
    request: dict[str, Any] = {
        "name": order.title,
        "count": order.count,
        "wildcards": False,  # as without a folder: the prompt is what it says
        "items": asked.requests,
    }
    if order.workflow is not None:
        request["workflow"] = order.workflow
    data = json.dumps(request).encode()
    return BatchBody(
        file=Path(),
        sha256=hashlib.sha256(data).hexdigest(),
        content_type="application/json",
        query={},
        key=f"generate-{uuid.uuid4().hex}",
        data=data,
    )


async def _outcomes(
    client: ApiClient, order: Order, batch_id: str, pictures: BatchPictures
) -> list[Outcome]:
    """Returns how each item ended, in their order."""
    outcomes: list[Outcome] = []
    warnings: list[Mapping[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await patiently(partial(client.batch_items, batch_id, FINAL, cursor))
        items: Sequence[Mapping[str, Any]] = page["items"]
        outcomes += [await _outcome(client, order, item, pictures) for item in items]
        warnings += [
            one for item in items for one in (item["generation"] or {}).get("warnings", ())
        ]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    tell_warnings(warnings)
    return outcomes


async def _outcome(
    client: ApiClient, order: Order, item: Mapping[str, Any], pictures: BatchPictures
) -> Outcome:
    outcome = Outcome(item["task_id"])
    now = item["generation"] or {}
    if now.get("status") != "succeeded":
        detail = f"{item['row']}: the generation was {now.get('status', 'deleted')}"
        outcome.problem = now.get("error") or {"detail": detail}
        return outcome
    ids = [one["artefact_id"] for one in outputs_of(item)]
    outcome.files = [pictures.files[one] for one in ids if one in pictures.files]
    if len(outcome.files) < len(ids):
        outcome.problem = {"detail": "a file was removed, or arrived damaged"}
    if order.as_json:
        outcome.result = await patiently(partial(client.result, outcome.task_id))
    return outcome


async def _cancel(client: ApiClient, batch_id: str) -> None:
    with suppress(TimeoutError, ApiUnreachableError, ApiRefusedError):
        async with asyncio.timeout(_CANCEL_S):
            await client.change_batch(batch_id, "cancel")


__all__ = ["generate_folder"]
