"""What a form's pickers offer: the options that follow from ComfyUI's catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nicegui import ui

from api.errors import ProblemError
from api.generations.facade import Facade
from api.options import OptionsDocument, read_options

AGAIN_S: Final = 3.0


async def offer_options(facade: Facade, offer: Callable[[OptionsDocument], None]) -> None:
    """Give a form its options at once, or as soon as ComfyUI first answers."""
    if facade.catalogue.current is not None:
        offer(await read_options(facade))
        return

    async def again() -> None:
        try:
            options = await read_options(facade)
        except ProblemError:
            return  # the form shows that the models are not known yet
        offer(options)
        timer.cancel()

    timer = ui.timer(AGAIN_S, again, immediate=False)
