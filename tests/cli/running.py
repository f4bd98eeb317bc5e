"""Running the `easel` command: in this process, or as a user does in one of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import psutil
import pytest
from typer.testing import CliRunner

from cli.main import main

EASEL = [sys.executable, "-P", "-m", "cli.main"]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The test's environment without anything that would steer Easel or Prefect."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EASEL_", "PREFECT_"))
    }
    return {**kept, "EASEL_HOME": str(home), "PYTHONUNBUFFERED": "1", **(more or {})}


async def easel(*arguments: str, home: Path, more: Mapping[str, str] | None = None) -> Ended:
    """Run a command to its end, in a thread: what a process adds is not the subject."""
    return await asyncio.to_thread(_run, arguments, environment(home, more))


def _run(arguments: Sequence[str], env: Mapping[str, str]) -> Ended:
    with (
        mock.patch.dict(os.environ, env, clear=True),
        mock.patch.object(sys, "argv", ["easel", *arguments]),
        CliRunner().isolation() as (out, err, _),
    ):
        os.umask(umask := os.umask(0o022))
        folder = Path.cwd()
        try:
            with pytest.raises(SystemExit) as exit_:
                main()
        finally:
            os.umask(umask)  # commands change both for their process
            os.chdir(folder)
        sys.stdout.flush()
        sys.stderr.flush()
        assert isinstance(exit_.value.code, int)
        return Ended(exit_.value.code, out.getvalue().decode(), err.getvalue().decode())


async def easel_process(
    *arguments: str, home: Path, cwd: Path | None = None, more: Mapping[str, str] | None = None
) -> Ended:
    """Run a command to its end, as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *EASEL,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(home, more),
        cwd=cwd,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


class Started:
    """A command that runs; ``until`` reads its stdout."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def until(self, text: str, timeout_s: float) -> None:
        """Read until a text was printed. AssertionError when it ends or takes too long."""
        stream = self.process.stdout
        assert stream is not None
        try:
            async with asyncio.timeout(timeout_s):
                while text not in self.said:
                    read = await stream.read(4096)
                    assert read, f"ended without saying {text!r}:\n{self.said}"
                    self.said += read.decode()
        except TimeoutError:
            raise AssertionError(f"did not say {text!r}:\n{self.said}") from None

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    async def ends(self, timeout_s: float) -> int:
        """Its exit code; what it still says is read meanwhile."""
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout_s):
            self.said += (await self.process.stdout.read()).decode()
            return await self.process.wait()


def _heed_ctrl_c() -> None:
    """In the child: tests that run in the background of a shell are started deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@asynccontextmanager
async def started(
    *arguments: str,
    home: Path,
    cwd: Path | None = None,
    more: Mapping[str, str] | None = None,
    program: Sequence[str] = EASEL,
) -> AsyncIterator[Started]:
    """A running command, ended with everything below it when the block ends."""
    process = await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(home, more),
        cwd=cwd,
        preexec_fn=_heed_ctrl_c,
    )
    try:
        yield Started(process)
    finally:
        if process.returncode is None:
            left = [*psutil.Process(process.pid).children(recursive=True)]
            process.kill()
            for each in left:
                if each.is_running():
                    each.kill()
        assert process.stdout is not None
        await process.stdout.read()
        await process.wait()


async def all_gone(processes: list[psutil.Process], timeout_s: float) -> bool:
    """Whether none of them runs any more, within a time."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout_s)
    return not alive
