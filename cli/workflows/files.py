"""``easel workflows export`` and ``remove``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from cli.console import FAILED, OK, CommandError, console_on
from cli.workflows.asking import asking


async def export(url: str, name: str, out: Path | None) -> int:
    """Write a workflow's file. Returns the exit code. Raises CommandError."""
    async with asking(url) as client:
        data = await client.workflow_file(name)
    if out is None:
        console_on(sys.stdout).print(data.decode())
        return OK
    try:
        await asyncio.to_thread(out.write_bytes, data)
    except OSError as error:
        why = error.strerror or error
        raise CommandError(f"{out} cannot be written ({why}).", FAILED) from error
    console_on(sys.stdout).print(str(out))
    return OK


async def remove(url: str, name: str) -> int:
    """Remove a workflow from what is offered. Returns the exit code. Raises CommandError."""
    async with asking(url) as client:
        await client.remove_workflow(name)
    console_on(sys.stderr).print(f"{name} is removed; what uses it goes on.")
    return OK
