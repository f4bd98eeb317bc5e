"""Exactly once: whatever happens to the POST, ComfyUI gets the prompt one time."""

from __future__ import annotations

import asyncio

import pytest

from comfy import ComfyProtocolError, ComfySession, ComfyUnreachableError, HeldBackError
from comfy.emulator import Emulator
from core.ids import OUTPUT_SUBFOLDER, output_filename
from tests.contract.driving import LONG_STEPS, Driver, SlowLine, release, wait_until


async def test_a_queued_prompt_is_not_posted_again(driver: Driver) -> None:
    run = driver.run(steps=LONG_STEPS)
    assert await run.submit() == "posted"
    assert await run.submit() == "already_queued"
    await driver.session.cancel(run.prompt_id)


async def test_an_ended_prompt_is_not_posted_again(driver: Driver) -> None:
    run = driver.run()
    await run.finish()
    assert await run.submit() == "already_finished"


async def test_files_that_the_history_forgot_are_found_by_name(driver: Driver) -> None:
    run = driver.run(batch_size=2)
    images = await run.finish()
    await driver.session.forget(run.prompt_id)
    assert await run.submit() == "found_by_name"
    assert await run.track() == images


async def test_one_of_two_files_is_not_enough(driver: Driver, emulator: Emulator) -> None:
    run = driver.run(batch_size=2)
    await run.finish()
    (emulator.output_dir / OUTPUT_SUBFOLDER / output_filename(run.prompt_id, 1)).unlink()
    await driver.session.forget(run.prompt_id)
    assert await run.submit() == "posted"


async def test_half_a_file_is_not_enough(driver: Driver, emulator: Emulator) -> None:
    run = driver.run()
    await run.finish()
    file = emulator.output_dir / OUTPUT_SUBFOLDER / output_filename(run.prompt_id, 1)
    file.write_bytes(file.read_bytes()[:-200])
    await driver.session.forget(run.prompt_id)
    assert await run.submit() == "posted"
    assert len(await run.track()) == 1


@pytest.mark.parametrize("fresh", [True, False])
async def test_concurrent_submissions_post_once(
    driver: Driver, emulator: Emulator, *, fresh: bool
) -> None:
    run = driver.run()
    hows = await asyncio.gather(*(run.submit(fresh=fresh) for _ in range(5)))
    assert hows.count("posted") == 1
    await run.track()
    assert emulator.posts[run.prompt_id] == emulator.renders[run.prompt_id] == 1


async def test_fresh_is_not_believed_of_what_was_posted_before(
    driver: Driver, emulator: Emulator
) -> None:
    run = driver.run()
    assert await run.submit(fresh=True) == "posted"
    assert await run.submit(fresh=True) != "posted"
    await run.track()
    assert emulator.posts[run.prompt_id] == emulator.renders[run.prompt_id] == 1


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_lost_answer(driver: Driver, emulator: Emulator, *, fresh: bool) -> None:
    emulator.faults.drop_replies()
    run = driver.run(steps=50)
    assert await run.submit(fresh=fresh) == "posted"
    await run.track()
    assert emulator.posts[run.prompt_id] == emulator.renders[run.prompt_id] == 1


async def test_a_lost_answer_to_a_prompt_that_is_done_at_once(
    driver: Driver, emulator: Emulator
) -> None:
    emulator.faults.drop_replies()
    run = driver.model_free_run()
    await run.submit()
    await run.track()
    assert emulator.posts[run.prompt_id] == 1


async def test_a_connection_cut_before_acceptance(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.drop_replies(accepted=False)
    run = driver.run()
    assert await run.submit() == "posted"
    await run.track()
    assert emulator.posts[run.prompt_id] == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, "500 Internal Server Error\n\nServer got itself in trouble"),
        (200, "<html>proxy</html>"),
        (200, "{}"),
        (400, "<html>proxy</html>"),
    ],
)
async def test_an_answer_that_makes_no_sense_proves_nothing(
    driver: Driver, emulator: Emulator, status: int, body: str
) -> None:
    emulator.faults.answer("POST", "/prompt", status=status, body=body)
    run = driver.run()
    assert await run.submit(fresh=True) == "posted"
    await run.track()
    assert emulator.posts[run.prompt_id] == 1


async def test_it_gives_up_in_the_end_and_can_be_called_again(
    driver: Driver, emulator: Emulator
) -> None:
    emulator.faults.answer("POST", "/prompt", status=500, times=3)
    run = driver.run()
    with pytest.raises(ComfyProtocolError):
        await run.submit()
    assert await run.submit() == "posted"
    await run.track()
    assert emulator.posts[run.prompt_id] == 1


async def test_fresh_prompts_are_posted_without_looking(driver: Driver, emulator: Emulator) -> None:
    emulator.faults.answer("GET", "/queue", status=500)
    run = driver.run()
    assert await run.submit(fresh=True) == "posted"


class Clock:
    """Whose caller is sure that it may post, but not at the time that is named: 1 is the first.

    It is asked three times for each POST: on the connection, before its headers and its body.
    """

    def __init__(self, unsure: int) -> None:
        self.told: list[str] = []
        self._unsure = unsure
        self._asked = 0

    async def before_post(self) -> None:
        self.told.append("before")

    def is_sure(self) -> bool:
        self._asked += 1
        self.told.append("sure" if self._asked != self._unsure else "unsure")
        return self._asked != self._unsure

    async def not_posted(self) -> None:
        self.told.append("not posted")


@pytest.mark.parametrize(
    ("unsure", "posts"),
    [
        (1, [["unsure"], ["sure", "sure"]]),  # the connection took long: it is used all the same
        (2, [["sure", "unsure"], ["sure", "sure", "sure"]]),
        (3, [["sure", "sure", "unsure"], ["sure", "sure", "sure"]]),
    ],
)
async def test_what_is_held_back_when_it_is_sent_is_not_posted(
    driver: Driver, emulator: Emulator, unsure: int, posts: list[list[str]]
) -> None:
    run, clock = driver.run(), Clock(unsure)
    how = await run.submit(
        fresh=True,
        before_post=clock.before_post,
        is_sure=clock.is_sure,
        not_posted=clock.not_posted,
    )
    assert how == "posted"
    first, second = posts
    assert clock.told == ["before", *first, "not posted", "before", *second]
    await run.track()
    assert emulator.posts[run.prompt_id] == emulator.renders[run.prompt_id] == 1


async def test_who_may_not_post_any_more_posts_nothing(driver: Driver, emulator: Emulator) -> None:
    """What is raised on the connection ends the submission, and the next one uses another."""
    run = driver.run()
    tries = 0

    async def before_post() -> None:
        nonlocal tries
        tries += 1
        if tries > 1:
            raise PermissionError

    with pytest.raises(PermissionError):
        await run.submit(before_post=before_post, is_sure=lambda: False)
    assert (tries, emulator.posts) == (2, {})
    assert await run.submit() == "posted"


async def test_who_is_never_sure_posts_nothing(driver: Driver, emulator: Emulator) -> None:
    run = driver.run()
    with pytest.raises(HeldBackError):
        await run.submit(is_sure=lambda: False)
    assert emulator.posts == {}
    assert await run.submit() == "posted"


async def test_without_comfyui_nothing_is_posted(driver: Driver, emulator: Emulator) -> None:
    run = driver.run()
    await emulator.stop()
    for fresh in (True, False):
        with pytest.raises(ComfyUnreachableError):
            await run.submit(fresh=fresh)
    assert emulator.posts == {}


async def test_two_processes_one_after_the_other_post_once(
    driver: Driver, emulator: Emulator
) -> None:
    emulator.faults.hang()
    run = driver.run()
    async with SlowLine(emulator.port, delay_s=0.02) as line, ComfySession(line.url) as dead:
        doomed = asyncio.create_task(dead.submit(run.graph, run.prompt_id, fresh=True))
        await line.has_post.wait()
        doomed.cancel()
    await run.until_running()  # ComfyUI took it all the same
    assert await run.submit() == "already_queued"
    track = run.start_tracking()
    await wait_until(lambda: release(emulator, track))
    await track
    assert emulator.renders[run.prompt_id] == 1


async def test_a_prompt_that_ends_between_the_looks(driver: Driver, emulator: Emulator) -> None:
    # It moves from queue to history while we look: history first would see it in neither.
    emulator.faults.hang()
    run = driver.run()
    await run.submit()
    await run.until_running()
    emulator.faults.answer("GET", "/queue", delay=2)
    looking = asyncio.create_task(run.submit())
    await wait_until(lambda: not any(f["fault"] == "Answer" for f in emulator.faults.active()))
    over = asyncio.create_task(run.until_over())
    await wait_until(lambda: release(emulator, over))
    assert await looking == "already_finished"
    assert emulator.posts[run.prompt_id] == 1
