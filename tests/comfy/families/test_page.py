"""The page on families says what the table says."""

from __future__ import annotations

from comfy.families.parts import missing_part
from comfy.families.table import FAMILIES
from tests.comfy.families.page import KINDS, PAGE, made


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text()

    assert made(page) == page, "run: python -m tests.comfy.families.page"


def test_every_family_and_each_of_its_files_is_there() -> None:
    page = PAGE.read_text()

    for family in FAMILIES.values():
        assert f"| {family.title} | `{family.name}` |" in page
    needed = {
        kind
        for family in FAMILIES.values()
        if family.parts is not None
        for kind in (*family.parts.encoders, family.parts.vae)
    }
    assert needed == set(KINDS)
    for kind in needed:
        file = missing_part(kind).removesuffix(" in ComfyUI's folder").rpartition("/")[2]
        assert kind == "pixel_space" or f"`{file}`" in page, kind


def test_a_table_that_is_out_of_date_is_made_anew() -> None:
    page = PAGE.read_text()
    row = next(line for line in page.splitlines() if line.startswith("| SDXL Pony | `"))

    assert made(page.replace(f"{row}\n", "")) == page
