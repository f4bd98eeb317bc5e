"""What is counted for monitoring is counted now and then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.app import open_context
from api.figures import Figures
from api.generations.facade import Facade
from core.requests import GenerationRequest
from core.settings import Settings
from tests.api.service import closed_port
from tests.harness.databases import a_store


@pytest.fixture
async def facade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Facade]:
    a_store(tmp_path / "easel.db")
    away = closed_port()
    monkeypatch.setenv("PREFECT_API_URL", f"{away}/api")
    settings = {"home": tmp_path, "comfy": {"url": away}, "prefect": {"api_url": f"{away}/api"}}
    async with open_context(Settings.model_validate(settings)) as context:
        yield context.facade


@pytest.mark.parametrize(("count_every_s", "told"), [(3600.0, 0), (0.0, 1)])
async def test_a_count_is_told_again_until_it_is_old(
    facade: Facade, count_every_s: float, told: int
) -> None:
    figures = Figures(facade, count_every_s)
    assert (await figures.of_store()).generations["queued"] == 0
    await facade.create(GenerationRequest(prompt="a fox", model="some.safetensors"))

    assert (await figures.of_store()).generations["queued"] == told
