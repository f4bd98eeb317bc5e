"""The pages without a browser, on a real store; Prefect and ComfyUI are away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nicegui.storage import Storage
from nicegui.testing import User
from nicegui.testing.user_simulation import user_simulation

from api.app import open_context
from api.context import Context
from api.generations.facade import Facade
from comfy.catalogue import Catalogue
from core.settings import Settings
from flows.reconcile.batches import Batches
from tests.harness.databases import a_store
from tests.web.visiting import PATIENT
from web.app import declare
from web.parts.layout import Web
from web.parts.trash import Trash

_NOBODY = "http://127.0.0.1:9"
CATALOGUE = Catalogue(
    checkpoints=("dreamshaper_8.safetensors", "sd_xl_base_1.0.safetensors"),
    samplers=("euler", "dpmpp_2m"),
    schedulers=("normal", "karras"),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    a_store(tmp_path / "easel.db")
    return Settings.model_validate(
        {
            "home": tmp_path,
            "comfy": {"url": _NOBODY},
            "prefect": {"api_url": f"{_NOBODY}/api"},
        }
    )


@pytest.fixture
async def context(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Context]:
    monkeypatch.setenv("PREFECT_API_URL", settings.prefect_api_url)
    # Prefect is away for ever: what would end a batch that a test cancels is the test itself.
    monkeypatch.setattr(Batches, "look", _nothing)
    async with open_context(settings) as context:
        context.facade.catalogue._catalogue = CATALOGUE
        yield context


async def _nothing(_self: Batches) -> None: ...


@pytest.fixture
def facade(context: Context) -> Facade:
    return context.facade


@pytest.fixture(autouse=True)
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NiceGUI's default is one folder for all processes that run tests beside each other."""
    monkeypatch.setattr(Storage, "path", tmp_path / "nicegui")


@pytest.fixture
async def user(context: Context, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[User]:
    # NiceGUI looks three times within 0.2 s: busy cores take longer to show a page.
    defaults = User.should_see.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "retries", PATIENT)
    async with user_simulation() as user:
        declare(Web(lambda: context, Trash(lambda: context.facade)))
        yield user
