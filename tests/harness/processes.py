"""Processes that tests start: each in a group of its own, with a log, and none outlives pytest."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_BELOW_EPHEMERAL: Final = (20_000, 32_000)
_RANDOM: Final = random.SystemRandom()  # pytest-randomly seeds the other one alike everywhere
REPOSITORY: Final = Path(__file__).parents[2]
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


def free_port() -> int:
    """A port that nobody listens on now, and that the system gives to nobody by itself.

    Whoever asks for it binds it seconds later, and tests run beside each other.
    """
    while True:
        port = _RANDOM.randrange(*_BELOW_EPHEMERAL)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(**more: str) -> dict[str, str]:
    """This process's environment, but nothing that would reach into the tests from outside."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EASEL_", "PREFECT_", "PYTEST_"))
    }
    return {**kept, "PYTHONUNBUFFERED": "1", "DO_NOT_TRACK": "1", **more}


class Process:
    """One part of the stack. It may be started again after it has ended; the log goes on."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = folder / f"{name}.log"
        self._env = dict(env)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Its process id. RuntimeError when it does not run."""
        if self._child is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._child.pid

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.is_running:
            return
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def kill(self) -> None:
        """As by ``kill -9``; returns when it is gone."""
        self._end(signal.SIGKILL)

    def terminate(self, *, within: float = 30.0) -> int:
        """As by ``kill``: in good order. Returns its exit code; a laggard is killed."""
        return self._end(signal.SIGTERM, within)

    def ask_to_stop(self) -> None:
        """Send SIGTERM and do not wait."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)

    def freeze(self) -> None:
        """As by ``kill -STOP``."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """As by ``kill -CONT``; harmless for one that goes on."""
        if self.is_running:
            os.kill(self.pid, signal.SIGCONT)

    @property
    def is_frozen(self) -> bool:
        """Whether it was stopped, by itself or by somebody else, and not waked."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[0] == "T"

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, number: signal.Signals, within: float = 10.0) -> int:
        child, self._child = self._child, None
        if child is None:
            return 0
        if child.poll() is None:
            os.kill(child.pid, number)
        try:
            return child.wait(within)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # the group it leads since it was started
            return child.wait(10)


def _die_with_parent() -> None:
    """In the child: the kernel kills it when pytest dies, however that comes about."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
