"""A reverse proxy in front of Easel that asks for a user name and a password."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from cli.bulk.command import Bulk, interrupted_text
from cli.bulk.order import BatchOrder
from cli.doctor.command import examine
from core.settings import Settings
from tests.cli.running import easel
from tests.cli.scripted_api import ScriptedApi, document, send, serve
from tests.harness.processes import free_port

LOGIN = "me:secretpw"


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    async with serve(ScriptedApi(login=LOGIN)) as api:
        yield api


def with_login(url: str, login: str = LOGIN) -> str:
    return url.replace("://", f"://{login}@")


async def to_the_end(response: web.StreamResponse, _last: str | None) -> None:
    await send(response, "status", document("succeeded"))


async def test_the_password_of_the_address_is_used_and_not_shown(
    api: ScriptedApi, tmp_path: Path
) -> None:
    api.streams = [to_the_end]
    arguments = ("generate", "a fox", "--out", str(tmp_path / "out"), "--json")
    ended = await easel(*arguments, "--api", with_login(api.url), home=tmp_path)
    assert ended.code == 0, ended.err
    assert len(list((tmp_path / "out").iterdir())) == 1
    assert "secretpw" not in ended.out + ended.err


async def test_so_is_that_of_the_public_url(api: ScriptedApi, tmp_path: Path) -> None:
    api.streams = [to_the_end]
    more = {"EASEL_API__PUBLIC_URL": with_login(api.url)}
    ended = await easel(
        "generate", "a fox", "--out", str(tmp_path / "out"), home=tmp_path, more=more
    )
    assert ended.code == 0, ended.err
    assert "secretpw" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("login", "said"),
    [("", "asks for a user name and a password"), ("me:secretpw2@", "does not accept this user")],
)
async def test_without_the_right_one_it_is_said_what_to_do(
    login: str, said: str, api: ScriptedApi, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("prompt\na fox\n")
    given = api.url.replace("://", f"://{login}")
    for command in (("generate", "a fox"), ("bulk", str(rows))):
        ended = await easel(*command, "--api", given, home=tmp_path)
        assert ended.code == 1
        assert f"{api.url} {said}" in ended.err
        assert f"{with_login(api.url, 'USER:PASSWORD')}, of --api or EASEL_API_URL" in ended.err
        assert "secretpw" not in ended.err


async def test_doctor_logs_in_too(
    api: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EASEL_HOME", str(tmp_path))
    monkeypatch.setenv("EASEL_PREFECT__PORT", str(free_port()))
    monkeypatch.setenv("EASEL_COMFY__URL", f"http://127.0.0.1:{free_port()}")
    found = {}
    for login in ("", f"{LOGIN}@"):
        monkeypatch.setenv("EASEL_API__PUBLIC_URL", api.url.replace("://", f"://{login}"))
        findings = {finding.name: finding for finding in await examine(Settings())}
        found[login] = findings["API"]
    assert not found[""].ok
    assert "EASEL_API__PUBLIC_URL" in found[""].detail
    assert found[f"{LOGIN}@"].ok
    assert found[f"{LOGIN}@"].detail == f"{api.url}, ready"


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_what_is_printed_of_an_interrupted_batch_has_no_password(scheme: str) -> None:
    url = f"http://{LOGIN}@pictures.example"
    wish = Bulk(BatchOrder(Path("rows.csv"), {}), url)
    said = interrupted_text(
        wish, "1", ["bulk", "rows.csv", "--api", f"{scheme}{LOGIN}@pictures.example"]
    )
    assert "secretpw" not in said
    assert f"--api {scheme}pictures.example" in said


async def test_an_address_that_is_none_is_named_without_its_password(tmp_path: Path) -> None:
    for given in ("http://me:secret/pw@host", "me:secretpw@host:99999", "ftp://me:secretpw@host"):
        ended = await easel("generate", "a fox", "--api", given, home=tmp_path)
        assert ended.code == 2
        assert "is not an HTTP address" in ended.err
        assert "secret" not in ended.err


def test_documents_have_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_API__PUBLIC_URL", f"https://{LOGIN}@pictures.example/")
    settings = Settings()
    assert settings.api_url == "https://pictures.example"
    assert settings.host_names[0] == "pictures.example"
    assert "secretpw" not in repr(settings) + json.dumps(settings.api_url)
