"""Settings come from the environment, by the names that the documentation uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from core.invalid import problems_of
from core.settings import Settings, StoreSettings


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


def test_receivers_at_home_are_allowed_by_a_list_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Settings().webhooks.allow
    assert Settings().webhooks.retry_after_s[:2] == (5, 300)
    monkeypatch.setenv("EASEL_WEBHOOKS__ALLOW", '["Receiver.LAN", "192.168.1.0/24"]')
    monkeypatch.setenv("EASEL_WEBHOOKS__RETRY_AFTER_S", "[0.5, 1]")

    settings = Settings().webhooks

    assert list(settings.retry_after_s) == [0.5, 1]
    assert settings.allowed.names("receiver.lan")
    assert settings.allowed.permits("any", ip_address("192.168.1.7"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ALLOW", "receiver.lan", 'must be a list in JSON, such as ["receiver.lan"]'),
        ("ALLOW", "[", 'must be a list in JSON, such as ["receiver.lan"]'),
        ("ALLOW", '"receiver.lan"', 'must be a list in JSON, such as ["receiver.lan"]'),
        ("ALLOW", '["http://receiver.lan/"]', "'http://receiver.lan/' is not a host or network"),
        ("ALLOW", '["receiver.lan:80"]', "'receiver.lan:80' is not a host or network"),
        ("ALLOW", '["*"]', "'*' is not a host or network"),
        ("ALLOW", "[7]", "must be a text"),
        ("RETRY_AFTER_S", "5, 300", "must be a list in JSON, such as [5, 300]"),
        ("RETRY_AFTER_S", "[-1]", "must be at least 0"),
        ("RETRY_AFTER_S", "[NaN]", "must be a number, neither infinite nor NaN"),
        ("TIMEOUT_S", "0", "must be more than 0"),
    ],
)
def test_a_wrong_setting_of_webhooks_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"EASEL_WEBHOOKS__{name}", value)
    with pytest.raises(ValidationError) as refused:
        Settings()

    [(place, _, words)] = problems_of(refused.value)
    assert place[:2] == ("webhooks", name.lower())
    assert words.startswith(said)


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


def test_host_names_are_given_with_commas_and_found_in_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EASEL_ALLOWED_HOSTS", "Easel.LAN, gpu_1,")
    monkeypatch.setenv("EASEL_API__PUBLIC_URL", "https://pictures.example.org/easel")
    monkeypatch.setenv("EASEL_API__HOST", "mybox")
    monkeypatch.setenv("EASEL_PREFECT__API_URL", "http://prefect:4200/api")

    settings = Settings()

    assert settings.allowed_hosts == ("easel.lan", "gpu_1")
    assert {"easel.lan", "gpu_1", "pictures.example.org", "mybox", "prefect"} <= set(
        settings.host_names
    )
    assert settings.api_origins == ("https://pictures.example.org/easel",)


def test_no_names_are_allowed_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_ALLOWED_HOSTS", "")
    assert Settings().allowed_hosts == ()
    assert set(Settings().host_names) == {"127.0.0.1"}


@pytest.mark.parametrize("wrong", ["*", "http://easel.lan", "easel.lan:8700", "*.lan", "a..-"])
def test_only_names_are_host_names(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("EASEL_ALLOWED_HOSTS", f"fine.lan,{wrong}")
    with pytest.raises(ValidationError, match="is not a host name"):
        Settings()


def test_the_prefect_server_is_reached_where_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_PREFECT__HOST", "0.0.0.0")
    assert Settings().prefect_api_url == "http://127.0.0.1:4200/api"
    monkeypatch.setenv("EASEL_PREFECT__HOST", "192.168.1.20")
    assert Settings().prefect_api_url == "http://192.168.1.20:4200/api"


def test_a_slash_at_the_end_of_an_address_makes_no_other_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The API keeps ComfyUI's catalogue under its address, and a worker looks there for it."""
    monkeypatch.setenv("EASEL_COMFY__URL", "http://gpu:8188/")
    monkeypatch.setenv("EASEL_API__PUBLIC_URL", "https://easel.example/")
    monkeypatch.setenv("EASEL_PREFECT__API_URL", "http://prefect:4200/api/")
    settings = Settings()
    assert settings.comfy.url == "http://gpu:8188"
    assert settings.api_url == "https://easel.example"
    assert settings.prefect_api_url == "http://prefect:4200/api"
    assert settings.prefect_ui_url == "http://prefect:4200"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite:///file:easel?mode=memory&uri=true",
    ],
)
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="lost with its process"):
        StoreSettings(url=url)


@pytest.mark.parametrize(
    "url",
    ["sqlite:///easel.db", "sqlite+aiosqlite://easel.db", "postgresql://db/easel", "nonsense", ""],
)
def test_a_database_without_its_driver_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must begin with sqlite"):
        StoreSettings(url=url)


@pytest.mark.parametrize(
    "url",
    [
        None,
        "sqlite+aiosqlite:////var/lib/easel/easel.db",
        "sqlite+aiosqlite:///C:/easel/easel.db",
        "postgresql+asyncpg://easel:secret@db/easel",
    ],
)
def test_a_database_that_lasts_is_taken(url: str | None) -> None:
    assert StoreSettings(url=url).url == url


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COMFY__URL", "STORE__IMAGES_URL", "PREFECT__API_URL"):
        monkeypatch.setenv(f"EASEL_{name}", "https://user:secretpw@host/api")
    monkeypatch.setenv("EASEL_STORE__URL", "postgresql+asyncpg://user:secretpw@host/easel")

    settings = Settings()

    assert "secretpw" not in repr(settings)
    assert settings.prefect_ui_url == "https://host"


@pytest.mark.parametrize("url", ["https://me:se/cret@host", "https://me:se[cret@host"])
def test_a_password_that_is_not_escaped_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("EASEL_API__PUBLIC_URL", url)
    with pytest.raises(ValidationError) as refused:
        Settings()
    [mistake] = refused.value.errors()
    assert "%2F" in mistake["msg"]
    assert "cret" not in mistake["msg"]


@pytest.mark.parametrize("scheme", ["", "file:"])
def test_paths_mean_the_same_in_every_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("EASEL_HOME", "data")
    monkeypatch.setenv("EASEL_STORE__URL", f"sqlite+aiosqlite:///{scheme}rows.db?timeout=5")
    monkeypatch.setenv("EASEL_STORE__IMAGES_URL", "pictures")
    settings = Settings()
    monkeypatch.chdir(there)
    assert settings.home == here / "data"
    assert settings.store_url == f"sqlite+aiosqlite:///{scheme}{here}/rows.db?timeout=5"
    assert settings.images_url == str(here / "pictures")
