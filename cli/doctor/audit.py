"""``easel audit``: stored files compared with the database. Orphans are removed on demand."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cli.console import FAILED, OK, CommandError, console_on
from cli.doctor.diagnosis import store_is_missing
from core.settings import Settings
from store.audit import Audit, AuditFinding
from store.database import Database
from store.errors import StoreError
from store.images import ImageFiles
from store.migrate import NEWEST, confirm_known, revision


async def audit(*, repair: bool, checksums: bool, settle_s: float) -> int:
    """Check everything and print mismatches as they are found. Returns the exit code."""
    settings = Settings()
    console = console_on(sys.stdout)
    told: Counter[tuple[str, bool]] = Counter()
    try:
        async with _opened(settings) as database:
            findings = Audit(database, ImageFiles(settings.images_url)).findings(
                repair=repair, checksums=checksums, settle_s=settle_s
            )
            async for finding in findings:
                if not told:
                    console.print(_line("what", "generation", "file", "why"))
                told[finding.kind, finding.repaired] += 1
                console.print(_row(finding))
    except (StoreError, OSError) as error:
        raise CommandError(f"the audit could not be finished: {error}.") from error
    console.print(_summary(told))
    return FAILED if any(not repaired for _, repaired in told) else OK


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Database]:
    """Open the database without migrating it."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(settings.store_url)
    except ArgumentError as error:
        raise CommandError(f"EASEL_STORE__URL cannot be read: {error}.") from error
    shown = url.render_as_string(hide_password=True)
    if store_is_missing(url):
        raise CommandError(
            f"there is no store at {shown} yet. `easel up` creates one; --home or EASEL_HOME names "
            "another data folder."
        )
    async with Database(settings.store_url) as database:
        current = await revision(database)
        confirm_known(current)
        if current != NEWEST:
            raise CommandError(
                f"{shown} is at migration {current or 'none'}, newest is {NEWEST}. "
                "`easel up` brings it up to date."
            )
        yield database


def _row(finding: AuditFinding) -> str:
    why = f"{finding.detail}: removed" if finding.repaired else finding.detail
    what = finding.kind.replace("_", " ")
    return _line(what, str(finding.generation_id), finding.path.rpartition("/")[2], why)


def _line(what: str, generation: str, file: str, why: str) -> str:
    return f"{what:<14}  {generation:<36}  {file:<18}  {why}"


def _summary(told: Counter[tuple[str, bool]]) -> str:
    if not told:
        return "All stored files are in order."
    counts = Counter[str]()
    for (kind, _), number in told.items():
        counts[kind.replace("_", " ")] += number
    said = ", ".join(f"{number} × {kind}" for kind, number in sorted(counts.items()))
    removed = sum(number for (_, repaired), number in told.items() if repaired)
    left = told.total() - removed
    advice = "" if left == 0 or removed else " Remove orphaned files with --repair."
    return f"{said}: {removed} removed, {left} left.{advice}"
