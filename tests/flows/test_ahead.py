"""What the worker knows to be due without asking again, and for how long."""

from __future__ import annotations

from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse

from flows.worker.prefetch import GOOD_S, REFRESH_S, Ahead


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ahead(clock: Clock) -> Ahead:
    return Ahead(clock)


def due() -> WorkerFlowRunResponse:
    return WorkerFlowRunResponse(
        work_pool_id=uuid4(), work_queue_id=uuid4(), flow_run=FlowRun(flow_id=uuid4())
    )


def test_nothing_is_known_before_prefect_was_asked(ahead: Ahead) -> None:
    ahead.left([due()])

    assert ahead.runs == ()


def test_what_was_left_may_be_taken_in_its_order(ahead: Ahead) -> None:
    left = [due(), due()]
    ahead.asking()
    ahead.left(left)

    assert list(ahead.runs) == left


def test_it_grows_old(ahead: Ahead, clock: Clock) -> None:
    ahead.asking()
    ahead.left([due()])
    clock.now += GOOD_S

    assert ahead.runs == ()


def test_asking_forgets_what_was_known(ahead: Ahead) -> None:
    ahead.asking()
    ahead.left([due()])
    ahead.asking()

    assert ahead.runs == ()


def test_outdated_it_is_asked_for_again_whatever_its_age(ahead: Ahead) -> None:
    ahead.asking()
    ahead.left([due()])
    ahead.outdate()

    assert ahead.runs == ()
    assert ahead.is_to_be_refreshed


def test_news_leaves_what_is_known_and_asks_again_a_little_later(
    ahead: Ahead, clock: Clock
) -> None:
    ahead.asking()
    ahead.left([due()])
    ahead.news = True

    assert ahead.runs
    assert not ahead.is_to_be_refreshed

    clock.now += REFRESH_S
    assert ahead.is_to_be_refreshed


def test_without_news_it_is_not_asked_again(ahead: Ahead, clock: Clock) -> None:
    ahead.asking()
    clock.now += GOOD_S * 10

    assert not ahead.is_to_be_refreshed


def test_what_becomes_due_while_prefect_answers_is_news(ahead: Ahead, clock: Clock) -> None:
    ahead.news = True
    ahead.asking()
    assert not ahead.news
    ahead.news = True
    ahead.left([due()])
    clock.now += REFRESH_S

    assert ahead.is_to_be_refreshed
