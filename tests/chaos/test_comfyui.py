"""ComfyUI dies, hangs, runs out of memory and talks nonsense."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.chaos.house import ChaosStack, a_request
from tests.harness.faults import (
    Answer,
    BlackHole,
    CutReply,
    DropReply,
    Fault,
    HalfClose,
    Refuse,
    Rule,
    SlowReply,
)
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.chaos
long = pytest.mark.long

MOMENTS: Final = ("submit.after_intent", "submit.after_post", "track.seen", "fetch.mid")


@pytest.mark.parametrize(
    "moment", [pytest.param(m, marks=() if m == "submit.after_post" else long) for m in MOMENTS]
)
def test_restarted(house: ChaosStack, moment: str, seed: int) -> None:
    """Its queue and history are gone, its files are there."""
    house.arm(moment, "stop")
    generation = house.create(**a_request(seed))
    house.wait_until_frozen("worker")
    house.emulator.fault("restart")
    house.part("worker").thaw()
    assert house.ends(generation) == "succeeded"
    house.check([generation], incarnations=2)


def test_restarted_with_many_waiting(house: ChaosStack, seed: int) -> None:
    many = [house.create(**a_request(seed + n)) for n in range(25)]
    wait_until(lambda: house.ended(many) >= 3, "some to be finished")
    house.emulator.fault("restart")
    assert {house.ends(generation) for generation in many} == {"succeeded"}
    house.check(many, incarnations=2)
    twice = [generation for generation in many if generation.renders() == 2]
    assert len(twice) <= 1  # the one that was being rendered


@long
def test_killed_with_a_hundred_waiting(house: ChaosStack, seed: int) -> None:
    many = [house.create(**a_request(seed + n)) for n in range(100)]
    wait_until(lambda: house.ended(many) >= 3, "some to be finished")
    house.stop_comfy()
    house.start_comfy()  # counts from zero
    assert {house.ends(generation) for generation in many} == {"succeeded"}
    house.check(many)


@long
@pytest.mark.parametrize("moment", ["submit.after_post", "track.seen"])
def test_stands_still_and_goes_on(house: ChaosStack, moment: str, seed: int) -> None:
    house.arm(moment, "stop")
    generation = house.create(**a_request(seed))
    house.wait_until_frozen("worker")
    house.part("comfyui").freeze()
    house.part("worker").thaw()
    house.wait_for_beats()
    house.part("comfyui").thaw()
    assert house.ends(generation) == "succeeded"
    house.check([generation])


def test_accepts_and_never_gets_on(house: ChaosStack, seed: int) -> None:
    house.emulator.fault("hang", step=1)
    generation = house.create(**{**a_request(seed), "timeout_s": 3})
    assert house.ends(generation) == "failed"
    assert generation.status()["error"]["code"] == "timed_out"
    following = house.create(**a_request(seed + 1))  # the GPU is free again
    assert house.ends(following) == "succeeded"
    house.check([generation, following])


@long
def test_cannot_be_told_to_stop_and_is_told_later(house: ChaosStack, seed: int) -> None:
    """What was cancelled while nobody could reach ComfyUI is taken out of it afterwards."""
    with house.halfway("not wanted any more", seed=seed) as generation:
        house.part("worker").kill()
        house.to_comfy.block()
        generation.cancel()
        assert house.ends(generation) == "cancelled"
        house.start_worker()
        assert house.emulator.queue()["running"] == [generation.prompt_id]
        house.to_comfy.unblock()
        wait_until(lambda: not house.emulator.queue()["running"], "the stray to be stopped")
        assert house.emulator.outcomes(generation.prompt_id) == ["interrupted"]
    house.heal()
    house.check([generation])


@long
@pytest.mark.parametrize(
    ("fault", "arguments", "end"),
    [
        ("out_of_memory", {}, "succeeded"),
        ("out_of_memory", {"times": 2}, "failed"),
        ("fail_node", {"class_type": "KSampler"}, "failed"),
        ("empty_outputs", {}, "succeeded"),
        ("truncate_views", {}, "succeeded"),
        ("drop_replies", {}, "succeeded"),
        ("drop_sockets_after", {"messages": 2}, "succeeded"),
    ],
)
def test_errors(
    house: ChaosStack, fault: str, arguments: dict[str, Any], end: str, seed: int
) -> None:
    house.emulator.fault(fault, **arguments)
    generation = house.create(**a_request(seed))
    assert house.ends(generation) == end
    house.check([generation], incarnations=2 if fault == "out_of_memory" else 1)


def test_its_answer_to_the_post_is_lost(house: ChaosStack, seed: int) -> None:
    lost = house.to_comfy.add(Rule(DropReply(), "POST", "/prompt"))
    generation = house.create(**a_request(seed))
    wait_until(lambda: lost.hits, "the lost reply")
    assert house.ends(generation) == "succeeded"
    house.check([generation])
    assert house.emulator.posts(generation.prompt_id) == 1


HTML: Final = Answer(200, b"<html>the proxy's own page</html>", "text/html")
SPOILED: Final[dict[str, list[Fault]]] = {
    "/prompt": [Refuse(), CutReply(5), HTML, Answer(502, b"no")],
    "/queue": [Refuse(), CutReply(9), HTML, Answer(500, b""), HalfClose(3), SlowReply(200)],
    "/history": [Refuse(), CutReply(30), HTML, HalfClose(3)],
    "/view": [Refuse(), CutReply(300), CutReply(300, reset=False), HTML, SlowReply(20_000)],
}


@long
@pytest.mark.parametrize("path", SPOILED)
def test_spoiled_answers(house: ChaosStack, path: str, seed: int) -> None:
    """Each kind of nonsense, one generation each: all end well, rendered once.

    But for a page in the place of an image, which the next try would not turn into one; unless it
    answers the look for files of an earlier attempt, which finds none then.
    """
    generations = []
    for number, fault in enumerate(SPOILED[path]):
        house.to_comfy.add(Rule(fault, path=path))
        generation = house.create(**a_request(seed + number))
        ends = ("failed", "succeeded") if (path, fault) == ("/view", HTML) else ("succeeded",)
        assert house.ends(generation) in ends, fault
        generations.append(generation)
        house.to_comfy.clear()
    house.check(generations)


@long
def test_swallows_the_post(house: ChaosStack, seed: int) -> None:
    hole = house.to_comfy.add(Rule(BlackHole(), "POST", "/prompt"))
    generation = house.create(**a_request(seed))
    wait_until(lambda: hole.hits, "the swallowed post")
    assert house.ends(generation) == "succeeded"
    house.check([generation])


@pytest.mark.parametrize("how", ["cut", pytest.param("block", marks=long)])
def test_the_line_breaks_in_mid_render(house: ChaosStack, how: str, seed: int) -> None:
    with house.halfway("over a bad line", seed=seed) as generation:
        getattr(house.to_comfy, how)()
        if how == "block":
            generation.wait_for_reason("waiting_for_comfyui")
            house.to_comfy.unblock()
    assert house.ends(generation) == "succeeded"
    house.check([generation])
