"""One running process of a part."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from cli.up.part import Part


class Child:
    """A process in a session of its own, so that Ctrl+C in the terminal does not reach it."""

    def __init__(self, part: Part, process: asyncio.subprocess.Process) -> None:
        self.part = part
        self._process = process

    @classmethod
    async def start(cls, part: Part, environment: Mapping[str, str], tether: int) -> Child:
        """Start the part; ``tether`` is the reading end that becomes its stdin."""
        with part.log.open_for_start() as log:
            process = await asyncio.create_subprocess_exec(
                *part.command,
                stdin=tether,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**environment, **part.environment},
                start_new_session=True,
            )
        return cls(part, process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Returns whether it has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for its end. Returns the exit code, negative for a signal."""
        return await self._process.wait()

    async def stop(self, grace_s: float) -> None:
        """Send SIGTERM, then SIGKILL to its whole group if that is not enough."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """Kill it and all processes it started, now."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)


def ending(code: int) -> str:
    """Returns an exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
