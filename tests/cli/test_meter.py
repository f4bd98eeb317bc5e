from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.client import ApiClient
from cli.generate.command import Order, field_lines, problem_text
from cli.generate.meter import describe, open_meter, percent
from core.fields import SEED_MAX


def _document(status: str, **more: Any) -> dict[str, Any]:
    return {"status": status, "progress": None, "queue_position": None, "eta_s": None, **more}


_RUNNING = _document(
    "running",
    eta_s=3.2,
    progress={"percent": 62.5, "step": 15, "steps": 24, "node": "KSampler"},
)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (_document("queued"), "queued"),
        (
            _document("queued", queue_position=3, eta_s=12.4),
            "queued, 4th in queue, about 12 s left",
        ),
        (
            _document("queued", waiting={"code": "waiting_for_comfyui", "detail": "no ComfyUI"}),
            "queued, no ComfyUI",
        ),
        (_RUNNING, "running, 62%, step 15 of 24, about 3 s left"),
        (_document("succeeded"), "succeeded"),
    ],
)
def test_a_line_says_what_there_is_to_say(document: dict[str, Any], expected: str) -> None:
    assert describe(document) == expected


def test_what_succeeded_is_at_100_percent() -> None:
    assert percent(_document("succeeded")) == 100
    assert percent(_document("queued")) == 0


def test_plain_lines_come_once_a_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    with open_meter(2) as meter:
        for step in range(24):
            progress = {"percent": step / 24 * 100, "step": step, "steps": 24}
            meter.show(0, _document("running", progress=progress))
        meter.show(1, _document("queued"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["1/2"] * 4 + ["2/2"]
    assert "\x1b" not in "".join(lines)


def test_a_problem_names_its_node() -> None:
    problem = {"detail": "out of memory", "node_id": "3", "node_class": "KSampler"}
    assert problem_text(problem) == "out of memory (node 3, KSampler)"


def test_each_wrong_field_has_its_line() -> None:
    errors = [
        {"loc": ["body", "width"], "code": "multiple_of", "message": "must be a multiple of 8"},
        {"loc": [], "code": "pixels", "message": "too large"},
    ]
    assert field_lines(errors) == "  width: must be a multiple of 8\n  request: too large"


def _order(count: int, **values: Any) -> Order:
    return Order({"prompt": "fox", **values}, count, Path(), "http://127.0.0.1:1", as_json=False)


async def requests_of(order: Order) -> list[dict[str, Any]]:
    """What an order asks for; without a workflow or inputs nothing is looked up."""
    async with ApiClient("http://127.0.0.1:1") as client:
        return (await order.asked(client)).requests


async def test_more_than_a_batch_is_several_generations_with_seeds_of_their_own() -> None:
    requests = await requests_of(_order(35, seed=SEED_MAX))
    assert [request["batch_size"] for request in requests] == [16, 16, 3]
    assert [request["seed"] for request in requests] == [SEED_MAX, 0, 1]


async def test_without_a_seed_none_is_sent() -> None:
    assert await requests_of(_order(1)) == [{"prompt": "fox", "batch_size": 1}]
