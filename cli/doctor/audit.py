"""``easel audit``: stored files compared with the database. Orphans are removed on demand."""

from __future__ import annotations

import sys
from collections import Counter

from cli.console import FAILED, OK, CommandError, console_on
from cli.opened_store import opened_store
from core.settings import Settings
from store.artefacts.files import ArtefactFiles
from store.audit import Audit, AuditFinding
from store.errors import StoreError


async def audit(*, repair: bool, checksums: bool, settle_s: float) -> int:
    """Check everything and print mismatches as they are found. Returns the exit code."""
    settings = Settings()
    console = console_on(sys.stdout)
    told: Counter[tuple[str, bool]] = Counter()
    try:
        async with opened_store(settings) as database:
            findings = Audit(database, ArtefactFiles(settings.images_url)).findings(
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


def _row(finding: AuditFinding) -> str:
    why = f"{finding.detail}: removed" if finding.repaired else finding.detail
    what = finding.kind.replace("_", " ")
    return _line(
        what, str(finding.generation_id or "(upload)"), finding.path.rpartition("/")[2], why
    )


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
