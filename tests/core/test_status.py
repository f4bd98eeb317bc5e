"""The six words, and which may follow which."""

from __future__ import annotations

from typing import get_args

import pytest

from core.status import FINAL, FOLLOWERS, RETRYABLE, STATUSES, Status, is_final


def test_every_status_is_in_every_table() -> None:
    assert set(STATUSES) == set(get_args(Status)) == set(FOLLOWERS)
    assert len(STATUSES) == len(set(STATUSES)) == 6
    assert set().union(*FOLLOWERS.values()) <= set(STATUSES)


@pytest.mark.parametrize("status", sorted(FINAL))
def test_final_is_final_but_for_a_retry(status: Status) -> None:
    assert is_final(status)
    assert FOLLOWERS[status] == ({"queued"} if status in RETRYABLE else set())


def test_what_succeeded_is_not_retried() -> None:
    assert {"failed", "cancelled"} == RETRYABLE
    assert FOLLOWERS["succeeded"] == set()


@pytest.mark.parametrize("status", [status for status in STATUSES if status not in FINAL])
def test_what_has_not_ended_can_end_badly(status: Status) -> None:
    assert not is_final(status)
    assert {"cancelled", "failed"} <= FOLLOWERS[status]


def test_a_cancel_that_was_asked_for_is_not_taken_back() -> None:
    assert FOLLOWERS["cancelling"] <= FINAL


@pytest.mark.parametrize("status", STATUSES)
def test_nothing_follows_itself(status: Status) -> None:
    assert status not in FOLLOWERS[status]
