"""``easel webhooks secret``: shows what signs the events, and changes it step by step."""

from __future__ import annotations

import sys
from typing import Final

from cli.console import BAD_USAGE, OK, CommandError, console_on
from cli.webhooks.callback_store import callback_store
from core.settings import Settings

_ONE: Final = "Each event is signed with this secret. Receivers verify by it:"
_TWO: Final = (
    "Each event is signed with both secrets, the new one and the former: receivers may verify by "
    "either. When all have the new one (the first), end the former: easel webhooks secret --retire"
)
_THIRD: Final = "The one before those two is not valid any more: a receiver may still have it."


async def secret(*, rotate: bool, retire: bool) -> int:
    """Print the valid secrets, newest first, each on a line. Returns the exit code.

    ``rotate``: make a new one first; the former stays valid. ``retire``: end the former.
    """
    if rotate and retire:
        raise CommandError(
            "--rotate and --retire are two steps: between them every receiver gets the new secret.",
            BAD_USAGE,
        )
    async with callback_store(Settings()) as store:
        before = await store.secrets.valid()
        if rotate:
            await store.secrets.rotate()
        if retire:
            await store.secrets.retire()
        valid = await store.secrets.valid()
    console_on(sys.stderr).print(_ONE if len(valid) == 1 else _TWO)
    if rotate and not set(before) <= set(valid):
        console_on(sys.stderr).print(_THIRD, style="yellow")
    for each in valid:
        console_on(sys.stdout).print(each)
    return OK
