"""Cancelling one prompt, and never another."""

from __future__ import annotations

import asyncio
from typing import Final

from comfy.client import ComfyClient

_INTERRUPT_AGAIN_S: Final = 1.0
_LOOK_FIRST_S: Final = 0.01
_LOOK_MAX_S: Final = 0.25


async def cancel_prompt(client: ComfyClient, prompt_id: str, *, patience_s: float) -> bool:
    """Remove the prompt from the queue or interrupt it, until it neither waits nor executes.

    An interrupt takes effect at the next sampler step or node, and some nodes cannot be
    interrupted: after ``patience_s`` seconds this returns False, and the interrupt stays pending
    in ComfyUI.
    """
    clock = asyncio.get_running_loop()
    deadline = clock.time() + patience_s
    interrupt_at = clock.time()
    pause = _LOOK_FIRST_S
    cancel = _Cancel(client, prompt_id)
    while True:
        queue = await client.queue()
        if queue.find(prompt_id) is None:
            return True
        if clock.time() > deadline:
            return False
        if not queue.is_running(prompt_id):
            await cancel(is_running=False)
        # Not on each round: of an older ComfyUI, check and interrupt are two steps, so an
        # interrupt sent just as the prompt ends could hit the next one.
        elif clock.time() >= interrupt_at:
            await cancel(is_running=True)
            interrupt_at = clock.time() + _INTERRUPT_AGAIN_S
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LOOK_MAX_S)


class _Cancel:
    """One request that fits either case, where ComfyUI has it (from 0.26 on), else one for each.

    With two, the prompt may start between the look and the deletion: then the next look finds it.
    """

    def __init__(self, client: ComfyClient, prompt_id: str) -> None:
        self._client = client
        self._prompt_id = prompt_id
        self._has_route = True

    async def __call__(self, *, is_running: bool) -> None:
        if self._has_route:
            self._has_route = await self._client.cancel(self._prompt_id)
        if self._has_route:
            return
        if is_running:
            await self._client.interrupt(self._prompt_id)
        else:
            await self._client.delete_pending(self._prompt_id)
