"""What `easel up` stands on: ports, logs, the lock."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from cli.up.lock import AlreadyRunningError, Running, hold, read_lock
from cli.up.logs import LARGEST, PartLog
from cli.up.ports import free_port, holder, is_free

ME = Running(os.getpid(), "http://127.0.0.1:1", "http://127.0.0.1:2/api", "http://127.0.0.1:2")


def test_a_port_that_someone_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        assert free_port("127.0.0.1", preferred=port) != port
    assert is_free("127.0.0.1", port)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS tells it to root only")
def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        who = holder(server.getsockname()[1])
    assert who is not None
    assert f"(pid {os.getpid()})" in who


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(OSError, match="address"):
        is_free("192.0.2.1", 8700)


def test_a_log_tells_only_of_the_newest_start(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "logs" / "api.log")
    for words in (b"old\n", b"new 1\n\nnew 2\n"):
        with log.open_for_start() as file:
            file.write(words)
    assert log.tail() == ["new 1", "new 2"]
    assert log.tail(1) == ["new 2"]
    assert b"old" in log.path.read_bytes()


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "api.log")
    log.path.write_bytes(b"x" * (LARGEST + 1))
    with log.open_for_start() as file:
        file.write(b"fresh\n")
    assert log.tail() == ["fresh"]
    assert (tmp_path / "api.log.1").stat().st_size == LARGEST + 1


def test_a_log_is_put_aside_while_it_is_written(tmp_path: Path) -> None:
    log = PartLog(tmp_path / "api.log")
    with log.open_for_start() as file:
        file.write(b"first\n" + b"x" * LARGEST + b"\nlast\n")
        file.flush()
        log.rotate()
        log.rotate()  # not again: it is small now
        file.write(b"fresh\n")

    assert log.path.read_bytes() == b"fresh\n"
    assert log.tail() == ["fresh"]
    aside = (tmp_path / "api.log.1").read_bytes()
    assert (len(aside), aside[-6:]) == (LARGEST, b"\nlast\n"[-6:])


def test_a_home_is_held_once_and_says_by_whom(tmp_path: Path) -> None:
    lock = tmp_path / "easel.lock"
    with hold(lock, ME), pytest.raises(AlreadyRunningError) as caught, hold(lock, ME):
        pass
    assert caught.value.running == ME
    assert read_lock(lock) is None
    with hold(lock, ME):
        assert read_lock(lock) == ME


async def test_a_holder_that_is_killed_holds_no_more(tmp_path: Path) -> None:
    lock = tmp_path / "easel.lock"
    code = (
        "import sys, time; from pathlib import Path; from cli.up.lock import Running, hold\n"
        "with hold(Path(sys.argv[1]), Running(1, 'a', 'b', 'c')):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(lock), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    with pytest.raises(AlreadyRunningError), hold(lock, ME):
        pass
    process.kill()
    await process.wait()
    with hold(lock, ME):
        pass
    await process.stdout.read()
