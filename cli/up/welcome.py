"""The first picture of a new home: exercises the whole path once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError
from cli.generate.command import problem_text
from cli.generate.follow import follow
from core.settings import Settings
from core.status import FINAL

LOOK_EVERY_S: Final = 0.5
"""Seconds between two looks for another request."""
REQUEST: Final[dict[str, Any]] = {
    "prompt": "a painter's easel on a hill at sunrise, warm light, long shadows",
    # Small, with few steps: on a slow GPU it must not be in the way.
    "width": 512,
    "height": 512,
    "steps": 8,
    "priority": "bulk",
    "metadata": {"easel": "welcome"},
}


class NoWelcomeError(Exception):
    """There is no welcome picture; the message says why."""


class GaveWayError(NoWelcomeError):
    """Another request came before it was finished."""


@dataclass(frozen=True)
class Welcome:
    """Where the picture is. ``file`` is None when pictures are kept elsewhere than in a folder."""

    image_url: str
    result_url: str
    file: Path | None
    seconds: float


async def render_welcome(
    client: ApiClient, settings: Settings, announce: Callable[[], None]
) -> Welcome | None:
    """Render the welcome picture. Returns None when there is a history. Raises NoWelcomeError.

    ``announce`` is called when it begins: on a slow GPU it takes a while. It is deleted when
    another request comes meanwhile: that one must not wait for it.
    """
    try:
        begun = await _begun(client)
        if begun is None:
            return None
        announce()
        document = await _ended_alone(client, begun)
        if document["status"] != "succeeded":
            raise NoWelcomeError(_why(document))
        result = await client.result(document["task_id"])
    except (ApiUnreachableError, ApiRefusedError) as error:
        raise NoWelcomeError(str(error)) from error
    return Welcome(
        image_url=result["images"][0]["url"],
        result_url=document["urls"]["result"],
        file=_file(settings, document["task_id"], result["images"][0]),
        seconds=result["timings"]["total_s"],
    )


async def _begun(client: ApiClient) -> dict[str, Any] | None:
    """Returns the welcome picture's status, of a former start if that one was stopped too early.

    None when there is a history.
    """
    history = await client.history(2)
    if not history:
        return await client.create(REQUEST)
    [first, *more] = history
    is_ours = (first["request"] or {}).get("metadata") == REQUEST["metadata"]
    return first if is_ours and not more and first["status"] not in FINAL else None


async def _ended_alone(client: ApiClient, begun: dict[str, Any]) -> dict[str, Any]:
    """Returns its final status. Raises GaveWayError after it has deleted it."""
    following = asyncio.create_task(_ended(client, begun))
    watching = asyncio.create_task(_another_came(client, begun["task_id"]))
    try:
        await asyncio.wait({following, watching}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            return following.result()
        await client.delete(begun["task_id"])
        raise GaveWayError("your request goes first")
    finally:
        for task in (following, watching):
            task.cancel()
        await asyncio.gather(following, watching, return_exceptions=True)


async def _ended(client: ApiClient, begun: dict[str, Any]) -> dict[str, Any]:
    return [begun, *[newer async for newer in follow(client, begun)]][-1]


async def _another_came(client: ApiClient, task_id: str) -> None:
    """Return when there is another generation than the welcome picture."""
    while True:
        with contextlib.suppress(ApiUnreachableError, ApiRefusedError):
            if any(each["task_id"] != task_id for each in await client.history(2)):
                return
        await asyncio.sleep(LOOK_EVERY_S)


def _why(document: dict[str, Any]) -> str:
    error = document.get("error")
    return problem_text(error) if error else f"the generation was {document['status']}"


def _file(settings: Settings, task_id: str, image: dict[str, Any]) -> Path | None:
    """The picture in the images' folder: the file of its size in its generation's folder."""
    if "://" in settings.images_url:
        return None
    folders = Path(settings.images_url).glob(f"*/{task_id}/*.png")
    return next((file for file in folders if file.stat().st_size == image["bytes"]), None)
