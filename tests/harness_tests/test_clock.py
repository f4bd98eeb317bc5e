"""A process whose clock is shifted sees another time of day, and no other passing of time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from tests.harness.clock import CAN_SHIFT, ClockShim

pytestmark = pytest.mark.skipif(not CAN_SHIFT, reason="needs Linux and a C compiler")

HOUR: Final = 3600
ROOM: Final = 600
"""Seconds that a busy machine may take between two looks at its clock."""
# Answers each line that it reads with what its clocks say.
WATCH: Final = """
import json, sqlite3, sys, time
from datetime import datetime, timezone
base = sqlite3.connect(":memory:")
for line in sys.stdin:
    said = {
        "time": time.time(),
        "datetime": datetime.now(timezone.utc).timestamp(),
        "coarse": time.clock_gettime(5),
        "sqlite": float(base.execute("SELECT strftime('%s', 'now')").fetchone()[0]),
        "localtime": time.mktime(time.localtime()),
        "monotonic": time.monotonic(),
        "boottime": time.clock_gettime(time.CLOCK_BOOTTIME),
    }
    print(json.dumps(said), flush=True)
"""
TIMES_OF_DAY: Final = ("time", "datetime", "coarse", "sqlite", "localtime")


class Watch:
    """A real Python process that tells its time when asked."""

    def __init__(self, shim: ClockShim) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WATCH],
            env={**os.environ, **shim.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def look(self) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        said: dict[str, float] = json.loads(self.process.stdout.readline())
        return said

    def ahead(self) -> dict[str, float]:
        """How far each of its clocks is ahead of the true one."""
        said = self.look()
        true: dict[str, Any] = dict.fromkeys(TIMES_OF_DAY, time.time())
        true["monotonic"] = time.monotonic()
        true["boottime"] = time.clock_gettime(time.CLOCK_BOOTTIME)
        return {name: said[name] - true[name] for name in said}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clock")


@pytest.fixture
def shim(folder: Path) -> ClockShim:
    return ClockShim(folder)


@pytest.mark.parametrize("seconds", [0, HOUR, -HOUR, 1000 * 24 * HOUR, -2000.75])
def test_every_time_of_day_is_shifted_and_nothing_else(shim: ClockShim, seconds: float) -> None:
    with Watch(shim) as watch:
        watch.look()
        shim.shift(seconds)
        ahead = watch.ahead()

    for name, by in ahead.items():
        assert by == pytest.approx(seconds if name in TIMES_OF_DAY else 0, abs=ROOM), name


def test_it_shifts_a_running_process_back_and_forth(shim: ClockShim, folder: Path) -> None:
    with Watch(shim) as watch:
        seen = []
        for seconds in (HOUR, -HOUR, 0):
            shim.shift(seconds)
            seen.append(round(watch.ahead()["time"] / HOUR))
        shim.shift(HOUR)
        watch.look()
        (folder / "clock.shift_ns").unlink()
        seen.append(round(watch.ahead()["time"] / HOUR))

    assert seen == [1, -1, 0, 0]


def test_monotonic_time_never_goes_back(shim: ClockShim) -> None:
    with Watch(shim) as watch:
        seen = []
        for seconds in (0, HOUR, -HOUR, 0):
            shim.shift(seconds)
            seen.append(watch.look()["monotonic"])

    assert seen == sorted(seen)


def test_fractions_are_carried_over(shim: ClockShim) -> None:
    with Watch(shim) as watch:
        for tenths in range(-10, 10):
            shim.shift(HOUR + tenths / 10)
            said = watch.look()
            assert said["datetime"] == pytest.approx(said["time"], abs=ROOM)
            assert 0 <= said["time"] % 1 < 1


def test_clocks_of_one_folder_are_shifted_apart(folder: Path) -> None:
    here, there = ClockShim(folder, "here"), ClockShim(folder, "there")
    built = (folder / "clock_shim.so").stat().st_ino
    with Watch(here) as early, Watch(there) as late:
        there.shift(HOUR)
        assert early.ahead()["time"] == pytest.approx(0, abs=ROOM)
        assert late.ahead()["time"] == pytest.approx(HOUR, abs=ROOM)

    ClockShim(folder)
    assert (folder / "clock_shim.so").stat().st_ino == built


def test_children_inherit_the_clock(shim: ClockShim) -> None:
    shim.shift(HOUR)
    command = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    child = "import time; print(time.time())"
    said = subprocess.run(
        [sys.executable, "-c", command, child],
        env={**os.environ, **shim.env},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert float(said.stdout) - time.time() == pytest.approx(HOUR, abs=ROOM)
