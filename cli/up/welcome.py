"""The first picture of a new home: exercises the whole path once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError
from cli.generate.command import problem_text
from cli.generate.follow import follow
from core.settings import Settings

REQUEST: Final[dict[str, Any]] = {
    "prompt": "a painter's easel on a hill at sunrise, warm light, long shadows",
    # Few steps, and it lets everything else go first: on a slow GPU it must not be in the way.
    "steps": 12,
    "priority": "bulk",
    "metadata": {"easel": "welcome"},
}


class NoWelcomeError(Exception):
    """There is no welcome picture; the message says why."""


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

    ``announce`` is called when it begins: on a slow GPU it takes a while.
    """
    try:
        if await client.has_history():
            return None
        announce()
        created = await client.create(REQUEST)
        document = [created, *[newer async for newer in follow(client, created)]][-1]
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


def _why(document: dict[str, Any]) -> str:
    error = document.get("error")
    return problem_text(error) if error else f"the generation was {document['status']}"


def _file(settings: Settings, task_id: str, image: dict[str, Any]) -> Path | None:
    """The picture in the images' folder: the file of its size in its generation's folder."""
    if "://" in settings.images_url:
        return None
    folders = Path(settings.images_url).glob(f"*/{task_id}/*.png")
    return next((file for file in folders if file.stat().st_size == image["bytes"]), None)
