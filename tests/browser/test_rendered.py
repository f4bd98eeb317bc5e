"""The studio shows a finished image before it is kept, over an emulator that has it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from core.ids import OUTPUT_SUBFOLDER, output_filename, prompt_id
from tests.browser.conftest import connected
from tests.browser.house import Api, Worker, open_house
from tests.harness.emulator import open_emulator

STAGE: Final = ".stage .canvas img"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comfyui") / "output" / OUTPUT_SUBFOLDER
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def _house(tmp_path_factory: pytest.TempPathFactory, outputs: Path) -> Iterator[tuple[Api, Worker]]:
    with (
        open_emulator(outputs.parent.parent) as comfyui,
        open_house(tmp_path_factory.mktemp("rendered") / "home", comfyui.url) as house,
    ):
        yield house


def name_of(task_id: str) -> str:
    return output_filename(prompt_id(UUID(task_id), 1), 1)


def test_a_finished_image_is_shown_at_once_and_then_the_kept_one(
    page: Page, api: Api, worker: Worker, outputs: Path
) -> None:
    worker.hold()
    task_id = api.create(prompt="a red fox at dawn")
    page.goto("/")
    connected(page)
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "gold").save(picture, "PNG")
    (outputs / name_of(task_id)).write_bytes(picture.getvalue())

    claim = worker.announce(task_id, name_of(task_id))

    shown = page.locator(f"{STAGE}[data-rendered]")
    expect(shown).to_have_attribute("src", re.compile("/rendered/1$"))
    expect(shown).to_have_js_property("naturalWidth", 64)
    expect(shown).to_be_visible()
    worker.keep(claim)
    expect(page.locator(".stage .picture-link img")).to_have_attribute(
        "src", re.compile("/artefacts/")
    )
    expect(page.locator(STAGE)).to_have_count(0)


def test_one_that_vanished_leaves_the_preview(page: Page, api: Api, worker: Worker) -> None:
    worker.hold()
    task_id = api.create(prompt="a red fox at dusk")
    page.goto("/")
    connected(page)

    worker.announce(task_id, name_of(task_id))

    gone = page.locator(f"{STAGE}[data-rendered]")
    expect(gone).to_have_count(1)
    expect(gone).to_be_hidden()
    expect(page.locator(STAGE).first).to_have_attribute("src", re.compile("preview"))
    expect(page.locator(STAGE).first).to_be_visible()
