"""``easel models``: a table of the model files."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from cli.console import OK, console_on
from cli.workflows.asking import asking

_KNOWN_BY: Final = {
    "setting": "your setting",
    "header": "its header",
    "metadata": "its metadata",
    "name": "its name",
}


async def list_all(url: str, folder: str | None, *, as_json: bool) -> int:
    """Print the model files of all folders, or of one. Returns the exit code.

    Raises CommandError.
    """
    async with asking(url) as client:
        found = await client.models(folder)
    out = console_on(sys.stdout)
    if as_json:
        out.print(json.dumps(found, indent=2))
        return OK
    if not found:
        where = f"models/{folder}" if folder else "its folders"
        console_on(sys.stderr).print(f"ComfyUI has no model files in {where}.")
        return OK
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("folder", "name", "family", "known by"):
        table.add_column(title)
    for one in found:
        table.add_row(one["folder"], one["name"], one["family"] or "-", known_by(one))
    out.print(table)
    return OK


def known_by(one: Mapping[str, Any]) -> str:
    """Returns how it is known what a file is, or why it is not."""
    how = _KNOWN_BY.get(one["reason"], "")
    if one["family"] is not None:
        return how
    detail: str = one["detail"]
    return detail or "-"
