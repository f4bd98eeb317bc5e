"""Keys of paid services: from the environment, or from a file that only its owner can read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.keys import checked_key, key_in
from core.settings import Settings

KEY = "comfyui-0123456789abcdef"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("EASEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    return file


def refused() -> str:
    with pytest.raises(ValidationError) as caught:
        Settings()
    [problem] = caught.value.errors()
    assert KEY not in problem["msg"]
    return problem["msg"]


def test_a_key_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    assert Settings().comfy.key_of_paid_services() is None
    monkeypatch.setenv("EASEL_COMFY__PAID_KEY", f" {KEY}\n")
    one = Settings()
    monkeypatch.delenv("EASEL_COMFY__PAID_KEY")
    monkeypatch.setenv("EASEL_COMFY__PAID_KEY_FILE", str(file))
    other = Settings()

    for settings in (one, other):
        key = settings.comfy.key_of_paid_services()
        assert key is not None
        assert key.get_secret_value() == KEY
        assert KEY not in f"{settings!r} {settings.model_dump()} {settings.model_dump_json()} {key}"


@pytest.mark.parametrize(
    "key", ["short", "with a blank", 'with"quotes"', "back\\slash1", "kéy56789"]
)
def test_what_is_no_key_is_refused_without_its_text(key: str) -> None:
    with pytest.raises(ValueError, match="is not a key") as caught:
        checked_key(key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o700, 0o400])
def test_a_file_with_another_mode_is_refused(
    file: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.chmod(mode)
    monkeypatch.setenv("EASEL_COMFY__PAID_KEY_FILE", str(file))

    assert f"has mode {mode:04o}, and must have 0600: run chmod 600 {file}" in refused()


def test_a_file_of_another_user_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    os.chown(file, 12345, -1)
    monkeypatch.setenv("EASEL_COMFY__PAID_KEY_FILE", str(file))

    assert "belongs to another user" in refused()


def test_a_file_without_a_key_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"\xff\x00")
    for path, why in (
        (file, "is not a key"),
        (tmp_path, "cannot be read"),
        (tmp_path / "x", "No "),
    ):
        with pytest.raises(ValueError, match=why):
            key_in(path)


@pytest.mark.parametrize("name", ["EASEL_COMFY__PAID_KEY", "EASEL_COMFY__URL", "EASEL_API__PORT"])
def test_what_is_refused_is_not_printed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may paste a key, or a URL with a password, into any variable."""
    monkeypatch.setenv(name, "http://zx81 canary@[/@")

    with pytest.raises(ValidationError) as caught:
        Settings()

    assert "canary" not in str(caught.value)


def test_a_key_is_given_in_one_way(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_COMFY__PAID_KEY", KEY)
    monkeypatch.setenv("EASEL_COMFY__PAID_KEY_FILE", str(file))

    assert "give the key in one way only" in refused()
