"""The whole of Easel in one command, as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cli.running import all_gone, easel_process, started
from tests.harness.databases import a_prefect_home
from tests.harness.processes import free_port

pytestmark = [
    pytest.mark.journey,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
]
READY_WITHIN_S = 120


def _ports() -> tuple[list[str], str]:
    port = free_port()
    return ["--port", str(port), "--prefect-port", str(free_port())], f"http://127.0.0.1:{port}"


async def test_from_nothing_to_a_picture_and_back(tmp_path: Path) -> None:
    home, ports = tmp_path / "home", _ports()
    async with started("up", *ports[0], "--step-time", "0.01", home=home) as up:
        await up.until("  file ", READY_WITHIN_S)
        assert "emulator" in up.said
        welcome = re.search(r"file +(\S+\.png)", up.said)
        assert welcome is not None
        assert _is_png(Path(welcome[1]))

        # A second process finds the API by the home alone.
        made = await easel_process("generate", "A red fox", "--seed", "7", home=home, cwd=tmp_path)
        assert (made.code, made.out) == (0, "a-red-fox-7.png\n")
        assert _is_png(tmp_path / "a-red-fox-7.png")
        _is_private_but_for_what_the_user_asked_for(home, tmp_path / "a-red-fox-7.png")

        wrong = await easel_process("generate", "fox", "--width", "33", home=home, cwd=tmp_path)
        assert wrong.code == 2
        assert "  width: " in wrong.err

        for _ in range(10):  # it asks once, and a part may be busy just then
            doctor = await easel_process("doctor", "--json", home=home)
            if doctor.code == 0:
                break
        assert json.loads(doctor.out)["ok"] is True, doctor.out

        again = await easel_process("up", home=home)
        assert again.code == 1
        assert "already running" in again.err

        await _survives_the_death_of_a_part(home, tmp_path, ports[1])
        children = up.children()
        up.process.send_signal(signal.SIGTERM)
        assert await up.ends(60) == 0, up.said
        assert "API ended" in up.said.replace("was ended", "ended")
    assert await all_gone(children, 30)


def _is_png(file: Path) -> bool:
    return file.read_bytes().startswith(b"\x89PNG")


def _is_private_but_for_what_the_user_asked_for(home: Path, saved: Path) -> None:
    os.umask(usual := os.umask(0o022))
    assert stat.S_IMODE(saved.stat().st_mode) == 0o666 & ~usual
    kept = {path: path.stat().st_mode for path in (home, *home.rglob("*"))}
    names = {path.relative_to(home).parts[0] for path in kept if path != home}
    assert {"easel.db", "easel.db-wal", "easel.lock", "images", "logs", "prefect"} <= names
    assert {"emulator", "storage-secret", "easel.running.json"} <= names
    assert not [(str(path), oct(mode)) for path, mode in kept.items() if mode & 0o077]


async def _survives_the_death_of_a_part(home: Path, folder: Path, url: str) -> None:
    (api,) = [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["cmdline"] or [])[-2:] == ["cli.main", "api"]
        and (process.info["environ"] or {}).get("EASEL_HOME") == str(home)
    ]
    api.kill()
    await all_gone([api], 5)
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(120):
        while True:
            try:
                if (await http.get(f"{url}/healthz")).is_success:
                    break
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
    made = await easel_process("generate", "after a crash", "--seed", "1", home=home, cwd=folder)
    assert made.code == 0, made.err


def _readyz(url: str) -> str:
    return httpx.get(f"{url}/readyz").text


def _files_of_easel(home: Path) -> list[Path]:
    """The store, the logs and the lock."""
    return [file for file in (*home.glob("easel*"), *home.glob("logs/*")) if file.is_file()]


async def test_a_comfyui_that_is_away_is_a_warning_and_kill_9_leaves_nothing(
    tmp_path: Path, prefect_database: Path
) -> None:
    a_prefect_home(tmp_path / "prefect", prefect_database)
    ports, url = _ports()
    address = f"127.0.0.1:{free_port()}"
    login = f"user:secretpw@{address}"
    async with started("up", *ports, "--comfy-url", login, home=tmp_path) as up:
        await up.until("Stop with Ctrl+C", READY_WITHIN_S)
        assert f"ComfyUI at http://{address} isn't answering" in up.said
        assert address in _readyz(url)
        assert "secretpw" not in up.said + _readyz(url)
        assert [
            file for file in _files_of_easel(tmp_path) if b"secretpw" in file.read_bytes()
        ] == []
        assert "--comfy-url" in up.said
        assert "first image" not in up.said
        log = (tmp_path / "logs" / "api.log").read_text()
        assert re.search(r"^\d{4}-\d\d-\d\d [\d:.]+ \| INFO .* startup complete", log, re.MULTILINE)
        children = up.children()
        assert len(children) >= 3
        up.process.kill()
        assert await all_gone(children, 20)
