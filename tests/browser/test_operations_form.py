"""The studio's forms of Easel's own workflows in a browser: models, masks, groups, references."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Final

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenContext, connected
from tests.browser.house import Api, Worker, open_house
from tests.browser.model_folders import fill
from tests.browser.test_looks import PHONE
from tests.browser.test_measures import SIZES, violations
from tests.browser.test_workflows_page import no_sideways
from tests.harness.emulator import open_emulator

_SHOWN: Final = "document.querySelector('canvas.mask-layer')?.dataset.shown"
_SHOWS: Final = f"([text, before]) => {_SHOWN}?.includes(text) && {_SHOWN} !== before"
_PIXEL: Final = """(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(
  Math.round(x * canvas.width), Math.round(y * canvas.height), 1, 1).data]"""
_PARTS: Final = {"Inpaint": "Mask", "Outpaint": "Extend", "Edit": "Reference images"}
"""What only the form of a workflow has."""
_BLUE: Final = (40, 90, 160)


@pytest.fixture(scope="module")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Worker]]:
    models = fill(tmp_path_factory.mktemp("models"), loras=2)
    folder = tmp_path_factory.mktemp("comfyui")
    with (
        open_emulator(folder, "--models-dir", str(models)) as comfyui,
        open_house(tmp_path_factory.mktemp("operations") / "home", comfyui.url) as house,
    ):
        house[1].look_at_models()
        yield house


def picture(width: int = 512, height: int = 384) -> bytes:
    return encoded(Image.new("RGB", (width, height), _BLUE))


def mask(width: int = 512, height: int = 384) -> bytes:
    """White in the left half."""
    made = Image.new("RGB", (width, height), "black")
    ImageDraw.Draw(made).rectangle((0, 0, width // 2, height), fill="white")
    return encoded(made)


def hole(width: int = 512, height: int = 384) -> bytes:
    """A picture that is transparent in its right half, and black all over."""
    made = Image.new("RGBA", (width, height), (0, 0, 0, 255))
    made.paste((0, 0, 0, 0), (width // 2, 0, width, height))
    return encoded(made)


def encoded(made: Image.Image) -> bytes:
    data = io.BytesIO()
    made.save(data, "PNG")
    return data.getvalue()


def opened(page: Page, workflow: str | None = None) -> None:
    """The studio, with what is known of the models in its form."""
    page.goto("/")
    connected(page)
    expect(page.get_by_text("by its header")).to_have_count(1)
    if workflow is not None:
        switch(page, workflow)


def switch(page: Page, workflow: str) -> None:
    """Choose a workflow, until its form is what is shown."""
    chosen(page, "Workflow", workflow)
    expect(page.get_by_role("group", name=_PARTS[workflow], exact=True)).to_be_visible()


def chosen(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option).click()
    expect(page.locator(".q-menu")).to_have_count(0)


def sent(page: Page, group: str, data: bytes) -> Locator:
    """Give a file to a field; what it shows then."""
    field = page.get_by_role("group", name=group, exact=True)
    file = {"name": "a.png", "mimeType": "image/png", "buffer": data}
    field.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    expect(field.locator(".chosen-thumb, .mask-layer")).to_have_count(1)
    return field


def generate(page: Page) -> None:
    page.locator("[data-generate]:visible").click()


def tint(page: Page, shown: str, x: float, before: str = "") -> bool:
    """Whether the layer is tinted there, once it is drawn with this, and no longer as before."""
    page.wait_for_function(_SHOWS, arg=[shown, before], polling=50)
    red, _, blue, _ = page.locator("canvas.mask-layer").evaluate(_PIXEL, [x, 0.5])
    return bool(red > blue)


@pytest.mark.parametrize("data", [b"notes about a fox", b"\x00\x01\x02\x03"], ids=["text", "none"])
def test_a_file_that_is_no_image_is_refused_where_it_was_given(page: Page, data: bytes) -> None:
    opened(page, "Inpaint")
    field = page.get_by_role("group", name="Mask", exact=True)
    file = {"name": "a.txt", "mimeType": "text/plain", "buffer": data}
    field.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    expect(field.get_by_role("alert")).to_have_text(re.compile("^This is not an image. Choose"))
    expect(field.get_by_role("button", name="Remove: Mask")).to_have_count(0)
    mark = field.get_by_role("alert").evaluate("(e) => getComputedStyle(e, '::before').content")
    assert mark == "none"  # it is a mistake, not a note


def test_a_mask_is_shown_over_the_image_that_it_is_for(page: Page) -> None:
    opened(page, "Inpaint")
    sent(page, "Start image", picture())
    field = sent(page, "Mask", mask())
    assert tint(page, "/uploads/", 0.25)
    assert not tint(page, "false", 0.75)
    page.get_by_text("Advanced", exact=True).locator("visible=true").click()
    page.get_by_text("Invert the mask").click()
    assert tint(page, "true", 0.75)
    assert not tint(page, "true", 0.25)
    page.get_by_text("Invert the mask").click()
    assert tint(page, "false", 0.25)
    before = str(page.evaluate(_SHOWN))
    field.get_by_role("button", name="Remove: Mask").click()
    sent(page, "Mask", hole())
    assert tint(page, "false", 0.75, before)  # what is transparent is drawn anew
    assert not tint(page, "false", 0.25)
    field.get_by_role("button", name="Remove: Mask").click()
    sent(page, "Mask", mask(256, 256))
    expect(field.get_by_role("alert")).to_have_text(
        "The mask is 256 × 256 pixels, the image 512 × 384: both must have one size."
    )


def test_an_image_is_drawn_anew_within_its_mask(page: Page, worker: Worker) -> None:
    del worker
    opened(page, "Inpaint")
    generate(page)
    expect(page.get_by_text("Describe the image first.")).to_be_visible()
    expect(page.get_by_text("Choose an image first.")).to_be_visible()
    expect(page.get_by_text("Choose a mask first.")).to_be_visible()
    page.locator("textarea[aria-label='Prompt']:visible").fill("a red balloon")
    chosen(page, "Model", "z_image_turbo")
    sent(page, "Start image", picture())
    sent(page, "Mask", mask())
    expect(page.get_by_text("Choose an image first.")).to_have_count(0)
    generate(page)
    expect(page.locator(".card.is-succeeded")).to_have_count(1)


def test_what_is_added_around_an_image_is_a_field_for_each_side(page: Page, worker: Worker) -> None:
    del worker
    opened(page, "Outpaint")
    page.locator("textarea[aria-label='Prompt']:visible").fill("a wide beach")
    sent(page, "Start image", picture())
    generate(page)
    sides = page.get_by_role("group", name="Extend", exact=True)
    expect(sides.get_by_role("alert")).to_contain_text("at any side")
    expect(sides.get_by_role("alert")).to_be_in_viewport()
    sides.get_by_label("Right").fill("128")
    generate(page)
    expect(page.get_by_role("combobox", name="VAE")).to_be_in_viewport()  # it was folded away
    expect(page.get_by_text("put it there, or name another file")).to_be_visible()
    chosen(page, "Model", "z_image_turbo")
    generate(page)
    expect(page.locator(".card.is-succeeded")).to_have_count(1)


def test_an_edit_takes_several_images_in_an_order(page: Page) -> None:
    opened(page, "Edit")
    references = page.get_by_role("group", name="Reference images", exact=True)
    expect(references).to_contain_text("SD 1.5 models take no reference images")
    zone = references.locator("input[type=file]")
    for width in (256, 320):
        file = {"name": "a.png", "mimeType": "image/png", "buffer": picture(width)}
        zone.set_input_files(file)  # type: ignore[arg-type]
        expect(references.locator(f"li:nth-child({1 if width == 256 else 2}) img")).to_be_visible()
    before = references.locator("img").nth(1).get_attribute("src") or ""
    references.get_by_role("button", name="Move up 2 of Reference images").click()
    expect(references.locator("img").nth(0)).to_have_attribute("src", before)
    page.reload()
    expect(references.locator("img").nth(0)).to_have_attribute("src", before)


def test_a_lora_is_found_by_typing_and_its_words_go_into_the_prompt(page: Page) -> None:
    opened(page)
    page.get_by_label("Prompt", exact=True).fill("a fox")
    chosen(page, "Model", "sd_xl_base")
    page.get_by_role("button", name="Add to LoRAs").dblclick()
    picker = page.get_by_role("combobox", name="LoRA", exact=True)
    expect(picker).to_have_count(1)
    expect(picker).to_be_focused()
    page.keyboard.type("ink")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="水墨画").dblclick()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox, 水墨画")
    chosen(page, "Model", "flux1-dev")
    expect(page.get_by_text("For SDXL, not for Flux.1 dev")).to_be_visible()
    page.reload()
    expect(picker).to_have_value("ink-wash")
    expect(page.get_by_text("For SDXL, not for Flux.1 dev")).to_be_visible()


def test_a_model_of_unknown_family_says_so_and_leads_to_its_page(page: Page) -> None:
    opened(page)
    chosen(page, "Model", "homemade_v3")
    page.get_by_role("link", name="Say it on the page Models").click()
    expect(page).to_have_url(re.compile("/models"))


@SIZES
def test_everybody_can_use_what_is_unfolded(visitor: OpenContext, phone: bool) -> None:
    page = visitor(**(PHONE if phone else {})).new_page()
    opened(page)
    chosen(page, "Model", "flux1-dev")
    page.get_by_role("button", name="Add to LoRAs").click()
    expect(page.get_by_role("combobox", name="LoRA", exact=True)).to_be_visible()
    page.get_by_role("button", name="Add to Controls").click()
    expect(page.get_by_role("combobox", name="ControlNet", exact=True)).to_be_visible()
    page.get_by_text("Advanced", exact=True).locator("visible=true").click()
    page.get_by_text("Second pass").click()
    expect(page.get_by_role("spinbutton", name="Scale")).to_be_visible()
    assert violations(page) == []
    no_sideways(page)
    switch(page, "Inpaint")
    sent(page, "Start image", picture())
    sent(page, "Mask", mask())
    assert violations(page) == []
    no_sideways(page)
