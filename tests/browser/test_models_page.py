"""The page of model files in a browser, over an emulator with files of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenContext, connected
from tests.browser.house import Api, Worker, open_house
from tests.browser.model_folders import INK, ODD, fill
from tests.browser.test_looks import PHONE
from tests.browser.test_measures import SIZES, violations
from tests.browser.test_workflows_page import no_sideways
from tests.harness.emulator import open_emulator

_LORAS: Final = 600


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("models"), loras=_LORAS)


@pytest.fixture(scope="module")
def _house(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[tuple[Api, Worker]]:
    folder = tmp_path_factory.mktemp("comfyui")
    with (
        open_emulator(folder, "--models-dir", str(models)) as comfyui,
        open_house(tmp_path_factory.mktemp("models-page") / "home", comfyui.url) as house,
    ):
        house[1].look_at_models()
        yield house


def opened(page: Page) -> None:
    page.goto("/models")
    connected(page)
    expect(row(page, "z_image_turbo").locator(".model-family")).to_have_text("Z-Image Turbo")


def row(page: Page, name: str) -> Locator:
    return page.locator(".model-row", has=page.locator(".model-name", has_text=name))


def chosen(page: Page, label: str, text: str) -> None:
    """Type what is wanted, and take it with Enter."""
    field = page.get_by_role("combobox", name=label, exact=True)
    field.fill(text)
    expect(page.locator(".q-menu .q-item").first).to_be_visible()
    field.press("Enter")
    expect(page.locator(".q-menu")).to_have_count(0)


def test_files_are_listed_with_what_is_known_of_them(page: Page, worker: Worker) -> None:
    del worker
    opened(page)
    assert page.locator(".model-group h2").all_text_contents()[:3] == [
        "Checkpoints", "Diffusion models", "Text encoders",
    ]  # fmt: skip
    turbo = row(page, "z_image_turbo")
    expect(turbo).to_contain_text("in the file's header")
    expect(turbo).to_contain_text("Loads with qwen_3_4b.safetensors, flux_vae.safetensors")
    expect(turbo).to_contain_text("On gpu-1")
    flux = row(page, "flux1-dev")
    expect(flux).to_contain_text("models/text_encoders/t5xxl")
    expect(flux).not_to_contain_text("models/text_encoders/clip_l")
    expect(row(page, "wan2.2").locator(".model-family")).to_have_text("Other kind")
    expect(row(page, ODD).locator(".model-family")).to_have_text("Unknown")
    page.get_by_label("Search").fill("INK sdxl")
    expect(page.locator(".model-row")).to_have_count(1)
    expect(row(page, "ink-wash")).to_contain_text("Trigger words: ink wash, 水墨画")
    expect(row(page, "ink-wash").locator(".model-family")).to_have_text("SDXL")


def test_hundreds_are_found_by_typing_and_shown_some_at_a_time(page: Page, worker: Worker) -> None:
    del worker
    opened(page)
    expect(page.locator(".model-row")).to_have_count(200)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".model-row")).to_have_count(400)
    page.keyboard.press("Escape")
    page.get_by_label("Search").fill("lora-599")
    expect(page.locator(".model-row")).to_have_count(1)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    page.get_by_label("Search").fill("no such file")
    expect(page.get_by_text("No file is like that.")).to_be_visible()
    page.get_by_label("Search").fill("")
    expect(page.locator(".model-row")).to_have_count(200)
    page.get_by_label("Unknown only").check()
    expect(page.locator(".model-row")).to_have_count(1)
    expect(page.get_by_role("status").filter(has_text="1 file · 1 unknown")).to_be_visible()


def test_the_owner_says_what_a_file_is_and_takes_it_back(page: Page, worker: Worker) -> None:
    del worker
    opened(page)
    row(page, ODD).get_by_role("button").dblclick()
    expect(page.get_by_role("heading", name=ODD)).to_be_visible()
    chosen(page, "Family", "flux.1 krea")
    chosen(page, "VAE", "flux_vae")
    encoders = page.get_by_role("combobox", name="Text encoders")
    encoders.fill("clip_l")
    encoders.press("Enter")
    encoders.press("Escape")
    page.get_by_role("button", name="Save").dblclick()
    told = row(page, ODD)
    expect(told.locator(".model-family")).to_have_text("Flux.1 Krea dev")
    expect(told).to_contain_text("You said so.")
    expect(told).to_contain_text("Loads with clip_l.safetensors, flux_vae.safetensors")
    expect(told.get_by_role("button")).to_be_focused()
    page.reload()
    expect(row(page, ODD)).to_contain_text("You said so.")
    row(page, ODD).get_by_role("button").press("Enter")
    expect(page.get_by_label("Family", exact=True)).to_have_value("Flux.1 Krea dev")
    page.get_by_role("button", name="Take back what you said").dblclick()
    expect(row(page, ODD).locator(".model-family")).to_have_text("Unknown")
    page.get_by_role("button", name="Undo").click()
    expect(row(page, ODD).locator(".model-family")).to_have_text("Flux.1 Krea dev")
    row(page, ODD).get_by_role("button").click()
    page.get_by_role("button", name="Take back what you said").click()
    expect(row(page, ODD).locator(".model-family")).to_have_text("Unknown")


def test_of_a_lora_only_its_base_can_be_said(page: Page, worker: Worker) -> None:
    del worker
    opened(page)
    page.get_by_label("Search").fill(INK)
    row(page, "ink-wash").get_by_role("button", name="Change").click()
    expect(page.get_by_label("Fits", exact=True)).to_have_value("As Easel finds out")
    expect(page.get_by_label("VAE", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_label("Search")).to_have_value(INK)
    expect(page.locator(".model-row")).to_have_count(1)


def test_a_file_that_comes_is_shown_when_looked_for(
    page: Page, worker: Worker, models: Path
) -> None:
    opened(page)
    late = models / "checkpoints" / "latecomer_sdxl.safetensors"
    late.write_bytes(b"")
    expect(row(page, "latecomer")).to_have_count(0)
    page.get_by_role("button", name="Look again").click()
    expect(row(page, "latecomer").locator(".model-family")).to_have_text("SDXL")
    expect(row(page, "latecomer")).to_contain_text("On none of the running workers")
    worker.look_at_models()
    expect(row(page, "latecomer")).to_contain_text("On gpu-1")
    late.unlink()
    worker.look_at_models()


@SIZES
def test_everybody_can_use_it(visitor: OpenContext, worker: Worker, phone: bool) -> None:
    del worker
    page = visitor(**PHONE if phone else {}).new_page()
    opened(page)
    page.get_by_label("Search").fill("dev")
    expect(page.locator(".model-row")).to_have_count(1)
    assert violations(page) == []
    no_sideways(page)
    row(page, "flux1-dev").get_by_role("button").click()
    expect(page.get_by_role("heading", name=re.compile("flux1-dev"))).to_be_visible()
    assert violations(page) == []
    no_sideways(page)
