from __future__ import annotations

from typing import Any

import pytest

from cli.bulk.meter import describe_batch, open_batch_meter
from tests.cli.scripted_batches import batch


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (batch("queued"), "queued, 0/4 done"),
        (batch("queued", code="away"), "queued, 0/4 done, because: away"),
        (
            {
                **batch("running", succeeded=1, failed=1, cancelled=1),
                "rate_per_minute": 118.66,
                "eta_s": 40,
            },
            "running, 1/4 done, 1 failed, 1 cancelled, 119 a minute, about 40 seconds",
        ),
        ({**batch("running"), "rate_per_minute": 0.75}, "running, 0/4 done, 0.75 a minute"),
        ({**batch("running", succeeded=3), "eta_s": 0.4}, "running, 3/4 done, under a second"),
        # An estimate of something that does not go on says nothing.
        ({**batch("paused", code="paused"), "eta_s": 40}, "paused, 0/4 done, because: paused"),
        (batch("succeeded", succeeded=4), "succeeded, 4/4 done"),
    ],
)
def test_a_line_says_what_there_is_to_say(document: dict[str, Any], expected: str) -> None:
    assert describe_batch(document) == expected


def test_plain_lines_come_with_each_twentieth_and_each_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_batch_meter() as show:
        show(batch("queued", 1000))
        for made in range(101):
            show(batch("running", 1000, succeeded=made))
        show(batch("running", 1000, succeeded=101, failed=1))
        show(batch("running", 1000, succeeded=101, failed=2))
        show(batch("running", 1000, code="no_answer", succeeded=101, failed=2))
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "queued, 0/1000 done",
        "running, 0/1000 done",
        "running, 50/1000 done",
        "running, 100/1000 done",
        "running, 101/1000 done, 1 failed",
        "running, 101/1000 done, 2 failed, because: no_answer",
    ]
