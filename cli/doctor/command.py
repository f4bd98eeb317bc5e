"""``easel doctor``: each thing Easel needs, whether it is there, and what to do when it is not."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import httpx

from cli.console import FAILED, OK, console_on
from cli.doctor import diagnosis
from cli.doctor.diagnosis import Finding
from cli.up.lock import Running, read_lock
from comfy.address import Address
from core.settings import DEFAULT_COMFY_URL, Settings
from store.values import WorkerRecord


@dataclass(frozen=True)
class Addresses:
    """The addresses to check: of this home's running `easel up`, else of the settings."""

    api: str
    prefect: str
    comfy: Address

    @classmethod
    def of(
        cls, settings: Settings, running: Running | None, workers: Sequence[WorkerRecord]
    ) -> Addresses:
        """A live worker knows which ComfyUI it drives, even when it is an emulator's."""
        own_prefect = running.prefect_api_url if running else settings.prefect_api_url
        known = next((worker.comfy_url for worker in workers), DEFAULT_COMFY_URL)
        return cls(
            api=running.api_url if running else settings.api_login_url,
            prefect=settings.prefect.api_url or own_prefect,
            comfy=Address.of(settings.comfy.url or known, settings.comfy.ca_file),
        )


async def doctor(*, as_json: bool) -> int:
    """Check everything and print it. Returns the exit code."""
    settings = Settings()
    findings = await examine(settings)
    broken = any(not finding.ok for finding in findings)
    if as_json:
        document = {"ok": not broken, "checks": [asdict(finding) for finding in findings]}
        console_on(sys.stdout).print(json.dumps(document, indent=2))
    else:
        _print_table(findings)
    return FAILED if broken else OK


async def examine(settings: Settings) -> list[Finding]:
    """Returns every finding, from the ground up."""
    store, workers = await diagnosis.store(settings)
    where = Addresses.of(settings, read_lock(settings.home / "easel.lock"), workers)
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        above = await asyncio.gather(
            diagnosis.prefect(http, where.prefect),
            diagnosis.comfyui(where.comfy),
            diagnosis.api(http, where.api),
        )
    prefect, comfyui, api = above
    storage = await diagnosis.storage(settings)
    ground = [diagnosis.python(), diagnosis.home(settings.home), diagnosis.disk(settings), store]
    ground += storage
    return [*ground, prefect, diagnosis.worker(workers), *diagnosis.pool(workers), comfyui, api]


def _print_table(findings: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        sign = Text("✓", "green") if finding.ok else Text("✗", "bold red")
        table.add_row(sign, Text(finding.name), Text(finding.detail))
        if finding.advice:
            table.add_row("", "", Text(f"→ {finding.advice}", "" if finding.ok else "yellow"))
    console_on(sys.stdout).print(table, soft_wrap=False)
