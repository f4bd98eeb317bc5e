"""Settings come from the environment, by the names that the documentation uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from core.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("EASEL_")]:
        monkeypatch.delenv(name)


def leaves(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, str | None]]:
    """Every setting's path and description."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{above}{name}.")
        else:
            yield f"{above}{name}", field.description


def test_everything_has_a_default() -> None:
    settings = Settings()

    assert settings.api.host == "127.0.0.1"
    assert settings.comfy.url is None
    assert settings.worker.concurrency == 2


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "EASEL_HOME": str(tmp_path),
        "EASEL_API__PORT": "9000",
        "EASEL_API__HOST": "0.0.0.0",
        "EASEL_COMFY__URL": "http://gpu:8188",
        "EASEL_COMFY__PREVIEWS": "false",
        "EASEL_STORE__URL": "postgresql+asyncpg://db/easel",
        "EASEL_STORE__IMAGES_URL": "s3://bucket",
        "EASEL_PREFECT__API_URL": "http://prefect:4200/api",
        "EASEL_WORKER__CONCURRENCY": "3",
    }.items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert settings.home == tmp_path
    assert (settings.api.port, settings.api_url) == (9000, "http://127.0.0.1:9000")
    assert (settings.comfy.url, settings.comfy.previews) == ("http://gpu:8188", False)
    assert settings.store_url == "postgresql+asyncpg://db/easel"
    assert settings.images_url == "s3://bucket"
    assert settings.prefect_api_url == "http://prefect:4200/api"
    assert settings.prefect_ui_url == "http://prefect:4200"
    assert settings.worker.concurrency == 3


def test_what_lasts_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EASEL_HOME", str(tmp_path))

    settings = Settings()

    assert settings.store_url == f"sqlite+aiosqlite:///{tmp_path / 'easel.db'}"
    assert settings.images_url == str(tmp_path / "images")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EASEL_API__PORT", "eighty"),
        ("EASEL_WORKER__CONCURRENCY", "0"),
        ("EASEL_API__PROT", "9000"),
        ("EASEL_COMFY__PREVIEWS", "perhaps"),
    ],
)
def test_a_setting_that_makes_no_sense_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(("path", "description"), list(leaves(Settings)))
def test_every_setting_is_described(path: str, description: str | None) -> None:
    assert description, path
    assert description.endswith(".")


def test_settings_never_change() -> None:
    settings = Settings()

    with pytest.raises(ValidationError):
        setattr(settings, "home", Path("/elsewhere"))  # noqa: B010 - mypy knows it too
    with pytest.raises(ValidationError):
        setattr(settings.api, "port", 1)  # noqa: B010


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COMFY__URL", "STORE__URL", "STORE__IMAGES_URL", "PREFECT__API_URL"):
        monkeypatch.setenv(f"EASEL_{name}", "https://user:secretpw@host/api")

    settings = Settings()

    assert "secretpw" not in repr(settings)
    assert settings.prefect_ui_url == "https://host"
