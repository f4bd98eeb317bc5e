"""An account of the machine that is not Easel's reads nothing of what Easel keeps."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.private_files import keep_private

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
FILES = (
    *("easel.db", "easel.db-wal", "easel.db-shm", "easel.lock", "easel.running.json"),
    *("images/ab/id/1-0.png", "prefect/prefect.db", "emulator/easel_1.png", "logs/api.log"),
    *("nicegui/storage-user-1.json", "storage-secret"),
)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """As an earlier version left it."""
    home = tmp_path / "home"
    for name in FILES:
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("private")
    return home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_earlier_versions_left_open_is_closed(home: Path) -> None:
    assert {mode(path) for path in (home, *home.rglob("*"))} == {0o755, 0o644}

    keep_private(home)

    for path in (home, *home.rglob("*")):
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


def test_what_is_written_from_now_on_is_closed(home: Path) -> None:
    keep_private(home)
    (home / "logs" / "worker.log").write_text("a prompt")
    (home / "images" / "cd").mkdir()
    assert mode(home / "logs" / "worker.log") == 0o600
    assert mode(home / "images" / "cd") == 0o700


def test_what_is_not_easels_stays_as_it_is(home: Path, tmp_path: Path) -> None:
    """A data folder may be a folder with other things in it; a link may lead elsewhere."""
    shared = tmp_path / "shared"
    (shared / "album").mkdir(parents=True)
    (shared / "album" / "picture.png").touch()
    (home / "images" / "link").symlink_to(shared)
    (home / "script.sh").touch()
    (home / "script.sh").chmod(0o755)

    keep_private(home)

    assert mode(home) == mode(home / "script.sh") == 0o755
    assert mode(shared) == mode(shared / "album") == 0o755
    assert mode(shared / "album" / "picture.png") == 0o644
    assert mode(home / "easel.db") == 0o600
    assert mode(home / "images") == 0o700


def test_a_start_that_was_interrupted_is_made_up_for(home: Path) -> None:
    keep_private(home)
    for path in (home / "images", home / "images" / "ab", home / "images" / "ab" / "id"):
        path.chmod(0o755)
    (home / "images" / "ab" / "id" / "1-0.png").chmod(0o644)
    keep_private(home)
    assert mode(home / "images" / "ab" / "id" / "1-0.png") == 0o600


def test_a_home_that_is_not_there_yet_is_fine(tmp_path: Path) -> None:
    keep_private(tmp_path / "not yet")
    (tmp_path / "not yet").mkdir()
    assert mode(tmp_path / "not yet") == 0o700
