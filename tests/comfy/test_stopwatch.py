"""Seconds of execution, without the pauses."""

from __future__ import annotations

from comfy.stopwatch import Stopwatch


def test_it_counts_only_while_it_runs() -> None:
    moments = iter([10.0, 12.0, 100.0, 103.0, 104.0])
    watch = Stopwatch(lambda: next(moments))
    assert watch.elapsed() == 0
    watch.run()  # at 10
    assert watch.runs
    watch.run()  # running already
    watch.pause()  # at 12
    watch.pause()
    assert watch.elapsed() == 2
    watch.run()  # at 100
    assert watch.elapsed() == 5  # at 103
    watch.pause()  # at 104
    assert watch.elapsed() == 6
    assert not watch.runs
