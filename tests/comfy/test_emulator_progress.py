"""Which steps the emulator tells: as comfy/utils.py (ProgressBar) of 0.33.0; 0.3.64 tells all."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from comfy.emulator.progress import Throttle

from .test_emulator import FAST, Caller, calling, datas, txt2img

STEPS = 400


async def steps_told(caller: Caller, steps: int) -> list[int]:
    async with caller.http.ws_connect("/ws?clientId=me") as socket:
        seen = await caller.run_and_listen(socket, txt2img(steps=steps), "me")
    told = [data["value"] for data in datas(seen, "progress")]
    states = [
        data["nodes"]["3"]["value"]
        for data in datas(seen, "progress_state")
        if data["nodes"].get("3", {}).get("state") == "running"
    ]
    assert [value for value in states if value] == told  # both are skipped, or neither
    return told


async def test_steps_without_a_preview_are_skipped() -> None:
    async with calling(FAST) as (_, caller):
        told = await steps_told(caller, STEPS)
        assert (told[0], told[-1]) == (1, STEPS)
        assert len(told) < STEPS / 2
        assert await steps_told(caller, 2) == [1, 2]


@pytest.mark.parametrize("changes", [{"comfyui_version": "0.3.64"}, {"preview_method": "auto"}])
async def test_each_step_is_told_by_an_old_version_and_with_a_preview(
    changes: dict[str, str],
) -> None:
    async with calling(replace(FAST, **changes)) as (_, caller):  # type: ignore[arg-type]
        assert await steps_told(caller, 50) == list(range(1, 51))


def test_how_often_and_how_far_apart() -> None:
    moment = 0.0
    throttle = Throttle(lambda: moment)
    told = []
    for step in range(1, 1001):
        if throttle.lets_through(step, 1000, has_picture=step == 7):
            told.append((moment, step))
        moment += 0.03
    apart = list(pairwise(told))
    assert [step for _, step in told[:4]] == [1, 6, 7, 12]
    assert told[-1][1] == 1000
    # 0.1 s and 0.5 % after the last one; at 7 there is a picture.
    assert all(
        then - now >= 0.1 and later - step >= 5 for (now, step), (then, later) in apart[2:-1]
    )
