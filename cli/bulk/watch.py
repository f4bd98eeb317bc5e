"""Watching a batch on the terminal while its pictures are saved."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cli.bulk.follow import follow_batch
from cli.bulk.meter import open_batch_meter
from cli.bulk.pictures import BatchPictures
from cli.client import ApiClient


async def watch_batch(
    client: ApiClient, document: dict[str, Any], pictures: BatchPictures | None
) -> dict[str, Any]:
    """Show the batch until it stops, and save its pictures meanwhile. Returns its last document.

    ``pictures`` is None where none are saved. Raises as ``follow_batch`` and ``keep_up`` do.
    """
    with open_batch_meter() as show:
        if pictures is None:
            return await follow_batch(client, document, show)

        def show_and_tell(now: Mapping[str, Any]) -> None:
            show(now)
            pictures.tell(now)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pictures.keep_up())
                final = await follow_batch(client, document, show_and_tell)
                pictures.tell_end()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return final
