"""Failpoints: inert unless asked for, and then they strike one process, once, at their moment.

Each test is a real child process, for the folder is read from the environment at the import.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

MOMENT: Final = "save.after_rename"
ROOT: Final = Path(__file__).parents[2]
REACHES: Final = f"""
from core.failpoints import reach
for hit in (1, 2, 3):
    reach({MOMENT!r})
    print("past", hit, flush=True)
"""
Child = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Child]:
    """Start a child that runs some Python; all of them end with the test."""
    with ExitStack() as stack:

        def start(code: str, *, armed: bool = True) -> subprocess.Popen[str]:
            env = {k: v for k, v in os.environ.items() if k != "EASEL_FAILPOINTS"}
            env["PYTHONPATH"] = str(ROOT)
            if armed:
                env["EASEL_FAILPOINTS"] = str(folder)
            child = subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=folder,
                env=env,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            stack.enter_context(child)
            stack.callback(child.kill)
            return child

        yield start


def arm(folder: Path, action: str) -> None:
    (folder / MOMENT).write_text(action, encoding="ascii")


def ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=30)
    return child.returncode, out, err


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_the_variable_nothing_happens_and_no_file_is_looked_at(
    folder: Path, start: Child
) -> None:
    arm(folder, "kill")
    watched = f"""
import sys
from core.failpoints import reach
seen = []
sys.addaudithook(lambda event, args: seen.append(event))
reach({MOMENT!r})
reach("whatever")
print([e for e in seen if e == "open" or e.startswith("os.")])
"""
    assert ended(start(watched, armed=False)) == (0, "[]\n", "")
    assert names(folder) == {MOMENT}


def test_what_is_not_armed_is_passed(folder: Path, start: Child) -> None:
    code, out, _ = ended(start(REACHES))
    assert (code, out.count("past")) == (0, 3)
    assert names(folder) == set()


def test_a_name_that_is_no_failpoint_is_refused(start: Child) -> None:
    code, _, err = ended(start('from core.failpoints import reach; reach("save.afterrename")'))
    assert code == 1
    assert "ValueError: there is no failpoint save.afterrename" in err


def test_kill_ends_it_at_once(folder: Path, start: Child) -> None:
    arm(folder, "kill")
    assert ended(start(REACHES))[:2] == (-signal.SIGKILL, "")
    assert names(folder) == {f"{MOMENT}.struck"}


def test_it_strikes_once(folder: Path, start: Child) -> None:
    arm(folder, "kill")
    assert ended(start(REACHES))[0] == -signal.SIGKILL
    assert ended(start(REACHES))[0] == 0
    assert names(folder) == {f"{MOMENT}.struck"}


def test_it_can_wait_for_the_second_hit(folder: Path, start: Child) -> None:
    arm(folder, "kill:2")
    assert ended(start(REACHES))[:2] == (-signal.SIGKILL, "past 1\n")
    assert names(folder) == {f"{MOMENT}.struck"}


def test_hits_are_counted_over_processes(folder: Path, start: Child) -> None:
    """The second time may be in the process that follows the first."""
    arm(folder, "kill:2")
    once = f"from core.failpoints import reach; reach({MOMENT!r})"
    assert ended(start(once))[0] == 0
    assert ended(start(once))[0] == -signal.SIGKILL


def test_term_lets_it_go_on_to_its_own_end(folder: Path, start: Child) -> None:
    arm(folder, "term")
    handles = "import signal; signal.signal(signal.SIGTERM, lambda *_: print('asked'))\n"
    code, out, _ = ended(start(handles + REACHES))
    assert (code, out.splitlines()) == (0, ["asked", "past 1", "past 2", "past 3"])


def test_term_ends_one_that_does_not_listen(folder: Path, start: Child) -> None:
    arm(folder, "term:2")
    assert ended(start(REACHES))[:2] == (-signal.SIGTERM, "past 1\n")


def test_stop_holds_it_until_it_is_waked(folder: Path, start: Child) -> None:
    arm(folder, "stop:2")
    child = start(REACHES)
    # The kernel tells of the stop itself: nothing is slept for.
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert os.WSTOPSIG(status) == signal.SIGSTOP
    assert names(folder) == {f"{MOMENT}.struck"}

    os.kill(child.pid, signal.SIGCONT)

    code, out, _ = ended(child)
    assert (code, out) == (0, "past 1\npast 2\npast 3\n")


def test_stop_holds_a_thread_that_is_not_the_main_one(folder: Path, start: Child) -> None:
    """The worker's loop runs in such a thread."""
    in_thread = (
        f"import threading\ncode = {REACHES!r}\nthreading.Thread(target=exec, args=(code,)).start()"
    )
    for _ in range(3):
        arm(folder, "stop")
        child = start(in_thread)
        assert child.stdout is not None
        os.waitpid(child.pid, os.WUNTRACED)
        os.set_blocking(child.stdout.fileno(), False)
        with pytest.raises(BlockingIOError):
            os.read(child.stdout.fileno(), 1)
        os.set_blocking(child.stdout.fileno(), True)
        os.kill(child.pid, signal.SIGCONT)
        assert ended(child)[:2] == (0, "past 1\npast 2\npast 3\n")


def test_full_is_what_a_full_disk_says(folder: Path, start: Child) -> None:
    arm(folder, "full")
    catches = f"""
import errno
from core.failpoints import reach
try:
    reach({MOMENT!r})
except OSError as error:
    print(error.errno == errno.ENOSPC)
reach({MOMENT!r})
"""
    assert ended(start(catches)) == (0, "True\n", "")


def test_of_two_processes_one_is_struck(folder: Path, start: Child) -> None:
    together = f"""
from core.failpoints import reach
print("ready", flush=True)
input()
reach({MOMENT!r})
"""
    for _ in range(3):
        arm(folder, "kill")
        pair = [start(together) for _ in range(2)]
        for child in pair:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in pair:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()

        assert sorted(ended(child)[0] for child in pair) == [-signal.SIGKILL, 0]
