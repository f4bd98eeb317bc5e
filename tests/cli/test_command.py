"""The command from outside: what it says before anything is started."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from cli.up.lock import Running, hold
from comfy.emulator import Emulator, EmulatorOptions
from tests.cli.running import easel, easel_process
from tests.harness.processes import free_port


async def test_version(tmp_path: Path) -> None:
    ended = await easel_process("--version", home=tmp_path)
    assert (ended.code, ended.out) == (0, f"easel {version('easel')}\n")


async def test_help_names_every_command(tmp_path: Path) -> None:
    ended = await easel("--help", home=tmp_path)
    assert ended.code == 0
    for command in (
        "up",
        "api",
        "worker",
        "emulator",
        "doctor",
        "audit",
        "generate",
        "bulk",
        "webhooks",
    ):
        assert command in ended.out


@pytest.mark.parametrize(
    "command",
    ["up", "api", "worker", "emulator", "doctor", "audit", "generate", "bulk", "webhooks"],
)
async def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    ended = await easel(command, "--help", home=tmp_path)
    assert ended.code == 0
    assert "--help" in ended.out


@pytest.mark.parametrize(
    ("command", "default"),
    [
        (("worker",), "[the one that prefect.yaml names]"),
        (("bulk",), "[the server's]"),
        (("generate",), "[the ends]"),
        (("webhooks", "listen"), "[this home's secret]"),
    ],
)
async def test_a_default_in_words_is_shown(
    command: tuple[str, ...], default: str, tmp_path: Path
) -> None:
    """Brackets around words are markup, unless they are escaped."""
    shown = await easel(*command, "--help", home=tmp_path)
    words = " ".join(re.sub("[│╭╮╰╯─]", " ", shown.out).split())
    assert default in words


async def test_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys, cli.main\n"
        "heavy = {'prefect', 'sqlalchemy', 'fastapi', 'httpx', 'pydantic', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out == b"[]\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "a fox", "--cfg", "nan"),
        ("generate", "a fox", "--cfg", "inf"),
        ("audit", "--settle", "inf"),
        ("up", "--step-time", "inf"),
    ],
)
async def test_what_is_no_number_is_refused(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ended = await easel(*arguments, home=tmp_path)
    assert ended.code == 2
    assert "must be a finite number" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "caf\udce9"),
        ("generate", "a fox", "--negative", "caf\udce9"),
        ("generate", "a fox", "--api", "caf\udce9"),
        ("generate", "a fox", "--callback-url", "http://caf\udce9"),
        ("generate", "a fox", "--callback-event", "caf\udce9"),
        ("bulk", __file__, "--callback", "caf\udce9"),
        ("bulk", __file__, "--name", "caf\udce9"),
        ("bulk", __file__, "--timezone", "caf\udce9"),
        ("up", "--host", "caf\udce9"),
    ],
)
async def test_bytes_that_are_not_utf8_are_refused(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """They arrive as surrogates, which no request can hold."""
    ended = await easel(*arguments, home=tmp_path)
    assert ended.code == 2
    assert "is not valid UTF-8" in ended.err


async def test_up_names_who_has_the_port_and_the_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        first = await easel("up", "--port", port, home=tmp_path)
        second = await easel(
            "up", "--port", str(free_port()), "--prefect-port", port, home=tmp_path
        )
    for ended, option in ((first, "--port N"), (second, "--prefect-port N")):
        assert ended.code == 1
        assert f"port {port} " in ended.err
        assert option in ended.err
        if sys.platform == "linux":
            assert f"(pid {os.getpid()})" in ended.err


async def test_up_says_that_the_home_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = await easel("up", "--home", str(tmp_path / "file" / "home"), home=tmp_path)
    assert ended.code == 1
    assert "cannot be written" in ended.err
    assert "--home DIR" in ended.err
    assert "Traceback" not in ended.err


async def test_up_says_that_it_is_running_already(tmp_path: Path) -> None:
    other = Running(4711, "http://127.0.0.1:9", "http://127.0.0.1:10/api", "http://127.0.0.1:10")
    with hold(tmp_path / "easel.lock", other):
        ended = await easel_process("up", home=tmp_path)
    assert ended.code == 1
    assert "already running" in ended.err
    assert "pid 4711" in ended.err
    assert "http://127.0.0.1:9/docs" in ended.err


async def test_a_setting_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    ended = await easel("up", home=tmp_path, more={"EASEL_API__PORT": "many"})
    assert ended.code == 2
    assert "EASEL_API__PORT" in ended.err


async def test_doctor_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    more = {
        "EASEL_API__PORT": str(free_port()),
        "EASEL_PREFECT__PORT": str(free_port()),
        "EASEL_COMFY__URL": nowhere,
    }
    ended = await easel("doctor", "--json", home=tmp_path, more=more)
    assert ended.code == 1
    checks = {check["name"]: check for check in json.loads(ended.out)["checks"]}
    assert {name for name, check in checks.items() if check["ok"]} == {
        "Python",
        "data folder",
        "disk",
        "store",
    }
    assert "easel up" in checks["API"]["advice"]
    assert nowhere in checks["ComfyUI"]["detail"]
    table = await easel("doctor", home=tmp_path, more=more)
    assert table.code == 1
    assert "✗  Prefect" in table.out
    assert "✓  Python" in table.out


async def test_doctor_names_a_comfyui_that_is_too_old_and_shows_no_password(tmp_path: Path) -> None:
    async with Emulator(EmulatorOptions(comfyui_version="0.3.44")) as emulator:
        login = emulator.url.replace("://", "://user:secretpw@")
        more = {
            "EASEL_API__PORT": str(free_port()),
            "EASEL_PREFECT__API_URL": f"http://user:secretpw@127.0.0.1:{free_port()}/api",
            "EASEL_COMFY__URL": login,
        }
        ended = await easel("doctor", "--json", home=tmp_path, more=more)
    checks = {check["name"]: check for check in json.loads(ended.out)["checks"]}
    assert not checks["ComfyUI"]["ok"]
    assert checks["ComfyUI"]["detail"] == (
        f"{emulator.url}: ComfyUI 0.3.44 is too old: Easel needs 0.3.45 or later"
    )
    assert not checks["Prefect"]["ok"]
    assert "secretpw" not in ended.out + ended.err


async def test_a_ca_file_that_holds_no_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    for file, why in ((tmp_path / "ca.pem", "PEM"), (tmp_path / "none.pem", "No such file")):
        ended = await easel("doctor", home=tmp_path, more={"EASEL_COMFY__CA_FILE": str(file)})
        assert ended.code == 2
        assert "EASEL_COMFY__CA_FILE" in ended.err
        assert why in ended.err


async def test_doctor_says_what_a_usable_comfyui_lacks(tmp_path: Path) -> None:
    options = EmulatorOptions(comfyui_version="0.3.50", checkpoints=("a", "caf\udce9"))
    async with Emulator(options) as emulator:
        ended = await easel(
            "doctor",
            "--json",
            home=tmp_path,
            more={
                "EASEL_API__PORT": str(free_port()),
                "EASEL_PREFECT__PORT": str(free_port()),
                "EASEL_COMFY__URL": emulator.url,
            },
        )
    (found,) = [c for c in json.loads(ended.out)["checks"] if c["name"] == "ComfyUI"]
    assert found["ok"]
    assert "1 checkpoints" in found["detail"]
    assert "0.3.57" in found["advice"]
    assert "caf�" in found["advice"]
