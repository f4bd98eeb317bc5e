"""A lane without answers has one try at a time, until it answers again."""

from __future__ import annotations

import asyncio

from webhooks.silent_lanes import SilentLanes


async def entered(
    lanes: SilentLanes, lane: str, count: int = 3
) -> tuple[int, list[asyncio.Task[None]]]:
    """How many of so many tries may begin at once, and their tasks."""
    begun = 0

    async def attempt() -> None:
        nonlocal begun
        async with lanes.turn(lane):
            begun += 1
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(attempt()) for _ in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    return begun, tasks


async def test_only_a_silent_lane_takes_turns() -> None:
    lanes = SilentLanes()
    lanes.heard("dead", answered=False)
    lanes.heard("quick", answered=True)

    found = [await entered(lanes, lane) for lane in ("dead", "quick", "unknown")]

    assert [begun for begun, _ in found] == [1, 3, 3]
    await ended([task for _, tasks in found for task in tasks])


async def test_a_lane_that_answers_again_is_like_others() -> None:
    lanes = SilentLanes()
    lanes.heard("shop", answered=False)
    lanes.heard("shop", answered=True)

    begun, tasks = await entered(lanes, "shop")

    assert begun == 3
    await ended(tasks)


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
