"""``easel bulk``: from a file of rows to finished images, however often it is interrupted.

The same command finds the same batch again, by a key derived from its file and options.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from cli.batch_body import BatchBody
from cli.bulk.create import NotCreatedError, create, plan
from cli.bulk.follow import patiently, take_up
from cli.bulk.local_files import with_uploads
from cli.bulk.order import BatchOrder
from cli.bulk.pictures import BatchPictures
from cli.bulk.watch import watch_batch
from cli.bulk.wording import (
    failure_lines,
    plan_lines,
    print_bad_rows,
    skipped_line,
    skipped_rows,
    summary_lines,
    write_report,
)
from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError
from cli.console import (
    BAD_USAGE,
    FAILED,
    INTERRUPTED,
    OK,
    UNREACHABLE,
    CommandError,
    console_on,
    report_failure,
)
from core.problems import FieldProblem
from core.urls import without_userinfo

_SKIPPED_SHOWN: Final = 10
_TAKEN_UP: Final = {
    "failed": "generating what is missing",
    "cancelled": "generating what is missing",
    "cancelling": "generating what is missing once it is cancelled",
    "paused": "resuming it",
    "succeeded": "it is complete",
}


@dataclass(frozen=True)
class Bulk:
    """What the command is to do. ``folder`` is where pictures go, None to leave them in Easel."""

    order: BatchOrder
    api_url: str
    folder: Path | None = None
    report: Path | None = None
    dry_run: bool = False
    wait: bool = True


async def bulk(wish: Bulk) -> int:
    """Create or find the batch, follow it, save its pictures. Returns the exit code.

    Raises CommandError when nothing could be created.
    """
    _ = wish.order.kind  # refused before anything is asked
    _check_places(wish)
    async with ApiClient(wish.api_url) as client:
        with TemporaryDirectory(prefix="easel-bulk-") as folder:
            return await _bulk(client, wish, Path(folder))


async def _bulk(client: ApiClient, wish: Bulk, folder: Path) -> int:
    try:
        body = await _body(client, wish.order, folder)
        if wish.dry_run:
            return _print_plan(wish, await plan(client, body))
        document, replayed = await create(client, body)
    except NotCreatedError as error:
        _tell_bad_rows(wish, error.bad_rows)
        raise
    except asyncio.CancelledError:
        _say(f"Interrupted before the answer came. {_as_it_was(wish)}")
        return INTERRUPTED
    try:
        return await _done(client, wish, body, document, replayed=replayed)
    except asyncio.CancelledError:
        _say(interrupted_text(wish, document["batch_id"], sys.argv[1:]))
        return INTERRUPTED


async def _body(client: ApiClient, order: BatchOrder, folder: Path) -> BatchBody:
    """Returns the request, whose files are sent before. Raises CommandError."""
    try:
        order = await with_uploads(client, order, folder)
    except OSError as error:
        raise CommandError(
            f"{order.file} cannot be read ({error.strerror or error}).", BAD_USAGE
        ) from error
    return await asyncio.to_thread(order.body)


def page_url(api_url: str, batch_id: str) -> str:
    """Returns the URL of the batch's page."""
    return f"{without_userinfo(api_url)}/b/{batch_id}"


def document_url(api_url: str, batch_id: str) -> str:
    """Returns the URL of the batch's document."""
    return f"{without_userinfo(api_url)}/api/v1/batches/{batch_id}"


def interrupted_text(wish: Bulk, batch_id: str, arguments: Sequence[str]) -> str:
    """Returns what continues, how to watch and how to cancel it. ``arguments``: the command's."""
    lines = ["Interrupted. The batch continues by itself."]
    if not wish.order.again:  # with --again the same command would create another batch
        login, at, _ = urlsplit(wish.api_url).netloc.rpartition("@")
        again = shlex.join(argument.replace(login + at, "") for argument in arguments)
        lines.append(f"  watch again:  easel {again}")
    lines.append(f"  open it:      {page_url(wish.api_url, batch_id)}")
    lines.append(f"  cancel it:    curl -X POST {document_url(wish.api_url, batch_id)}/cancel")
    return "\n".join(lines)


def _as_it_was(wish: Bulk) -> str:
    if wish.order.again:
        return f"Check at {without_userinfo(wish.api_url)} whether the batch was created."
    return "If the batch was created, the same command finds it again."


def _check_places(wish: Bulk) -> None:
    """Raises CommandError for unwritable places before anything is created."""
    if wish.report is not None and (wish.report.is_dir() or not wish.report.parent.is_dir()):
        raise CommandError(f"{wish.report} cannot be written: no such folder.", BAD_USAGE)
    if wish.folder is None or wish.dry_run:
        return
    if not wish.wait:
        raise CommandError("--out waits for the images: leave out --no-wait.", BAD_USAGE)
    try:
        wish.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"{wish.folder} cannot be written ({error.strerror or error}). "
            "Choose another folder with --out DIR.",
            BAD_USAGE,
        ) from error


def _print_plan(wish: Bulk, planned: Mapping[str, Any]) -> int:
    for line in plan_lines(planned, wish.order.file):
        console_on(sys.stdout).print(line)
    _tell_skipped(wish, planned["skipped"])
    return OK


def _tell_skipped(wish: Bulk, skipped: Sequence[Mapping[str, Any]]) -> None:
    rows = skipped_rows(skipped)
    _tell_bad_rows(wish, rows, most=_SKIPPED_SHOWN)
    if rows:
        _say(skipped_line(rows, wish.report))


def _tell_bad_rows(wish: Bulk, rows: Sequence[FieldProblem], most: int | None = None) -> None:
    print_bad_rows(rows[:most])
    if wish.report is None:
        return
    try:
        write_report(wish.report, rows)
    except OSError as error:
        raise CommandError(
            f"{wish.report} cannot be written ({error.strerror or error})."
        ) from error


# --- following


async def _done(
    client: ApiClient, wish: Bulk, body: BatchBody, document: dict[str, Any], *, replayed: bool
) -> int:
    batch_id = document["batch_id"]
    try:
        _introduce(client, document, replayed=replayed)
        if replayed:
            document = await take_up(client, document)
        await _tell_left_out(client, wish, body, document, replayed=replayed)
        if not wish.wait:
            console_on(sys.stdout).print(page_url(client.url, batch_id))
            return OK
        pictures = BatchPictures(client, batch_id, wish.folder) if wish.folder else None
        final = await watch_batch(client, document, pictures)
        return await _report(client, final, pictures)
    except ApiRefusedError as error:
        report_failure(str(error))
        return FAILED
    except ApiUnreachableError as error:
        report_failure(
            f"{error}, for a while now. Nothing is lost: the batch continues when `easel up` runs "
            f"again; see {document_url(client.url, batch_id)} then."
        )
        return UNREACHABLE
    except OSError as error:
        report_failure(
            f"the batch continues, but a file could not be written ({error}). Run the same command "
            f"again to continue saving, or download all images from "
            f"{document_url(client.url, batch_id)}/results.zip."
        )
        return FAILED


def _introduce(client: ApiClient, document: Mapping[str, Any], *, replayed: bool) -> None:
    """Print which batch it is."""
    if replayed:
        then = _TAKEN_UP.get(document["status"], "following it")
        _say(f"This batch exists already, {document['status']}: {then}.")
    where = page_url(client.url, document["batch_id"])
    _say(f"{document['name']}: {document['total']} to generate, {where}")


async def _tell_left_out(
    client: ApiClient, wish: Bulk, body: BatchBody, document: Mapping[str, Any], *, replayed: bool
) -> None:
    """Print the skipped rows. Only the first answer names them; later a plan does."""
    if not replayed:
        _tell_skipped(wish, document["skipped"])
    elif wish.order.skip_bad and wish.report is not None:
        planned = await patiently(partial(client.plan_batch, body))
        _tell_skipped(wish, planned["skipped"])


async def _report(client: ApiClient, final: dict[str, Any], pictures: BatchPictures | None) -> int:
    batch_id, out = final["batch_id"], console_on(sys.stdout)
    where = page_url(client.url, batch_id), document_url(client.url, batch_id)
    for line in summary_lines(final, *where, pictures):
        out.print(line)
    failed = final["counts"]["failed"]
    if failed:
        page = await patiently(partial(client.batch_items, batch_id, {"failed"}))
        for line in failure_lines(page["items"], failed):
            out.print(line)
    damaged = pictures is not None and bool(pictures.damaged)
    return OK if final["status"] == "succeeded" and not damaged else FAILED


def _say(text: str) -> None:
    console_on(sys.stderr).print(text)
