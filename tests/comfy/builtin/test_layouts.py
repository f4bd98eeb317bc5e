"""What is sampled of the pictures of a request, and at which size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy.families.table import FAMILIES
from comfy.workflows.builtin.recipe import Layout, Recipe
from comfy.workflows.known import Known
from comfy.workflows.layout import Box, Size, growth
from core.requests import ResolvedRequest
from core.workflows.limits import PIXELS_MAX, SIZE_MAX
from tests.comfy.builtin.asking import (
    IMAGE,
    KNOWN,
    MASK,
    NORMALISED,
    OTHER,
    Album,
    again,
    graph,
    model,
    notices,
    problems,
    resolved,
    said,
)

SD15: Final[dict[str, Any]] = {"model": "whole-sd15.safetensors"}
XL: Final[dict[str, Any]] = {"model": "whole-sdxl.safetensors"}
_SIDES: Final = st.integers(16, 6000)
_SIZES: Final = st.builds(Size, _SIDES, _SIDES)


def recipe(request: ResolvedRequest) -> Recipe:
    return Recipe.read(request.plan.recipe)


def layout(request: ResolvedRequest) -> Layout:
    found = recipe(request).layout
    assert found is not None
    return found


def seen(size: Size, box: Box | None = None) -> Known:
    """All pictures are of this size."""
    sizes = dict.fromkeys((IMAGE, MASK, OTHER, NORMALISED), size)
    return replace(KNOWN, pictures=Album(sizes, box))


# --- from an image


def test_an_image_keeps_its_size() -> None:
    request = resolved("img2img", init_image=IMAGE, **XL)

    assert request.size == (640, 480)
    assert layout(request) == Layout(
        source=Size(640, 480), padded=Size(640, 480), crop=Box(0, 0, 640, 480), work=Size(640, 480)
    )
    assert request.inputs["denoise"] == 0.6
    assert notices(request) == {}


def test_one_that_is_too_large_is_drawn_smaller() -> None:
    request = resolved("img2img", known=seen(Size(4000, 3000)), init_image=IMAGE, **XL)

    assert request.size == (1776, 1328)
    assert notices(request) == {"scaled_down": ("init_image",)}
    assert "4000 × 3000" in said(request, "scaled_down")
    assert "1776 × 1328" in said(request, "scaled_down")


@given(_SIZES)
def test_any_image_is_drawn_in_its_shape(size: Size) -> None:
    request = resolved("img2img", known=seen(size), init_image=IMAGE, **XL)

    work = layout(request).work
    assert request.size == work
    assert max(work) <= SIZE_MAX
    if max(size) / min(size) < 4 and min(size) >= 256:
        assert work.width / work.height == pytest.approx(size.width / size.height, rel=0.05)
    told = "scaled_down" in notices(request)
    assert told == (size.width - work.width >= 8 or size.height - work.height >= 8)


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"width": 512}, (512, 384)),
        ({"height": 960}, (1280, 960)),
        ({"width": 512, "height": 512}, (512, 512)),
    ],
)
def test_a_side_that_is_left_out_follows_from_the_shape(
    asked: dict[str, Any], size: tuple[int, int]
) -> None:
    request = resolved("img2img", init_image=IMAGE, **asked, **XL)

    assert request.size == size
    assert "scaled_down" not in notices(request)


def test_a_size_is_rounded_as_the_family_needs_it() -> None:
    request = resolved(model=model("flux1-dev"), width=1000, height=1000)

    assert request.size == (992, 992)
    assert notices(request) == {"size_rounded": ("width",)}
    assert "992 × 992" in said(request, "size_rounded")
    assert notices(resolved(model=model("flux1-dev"), width=1008)) == {}


def test_an_image_that_is_not_there_is_told_by_what_looks_for_it() -> None:
    request = resolved("img2img", known=seen(Size(8, 8)), init_image=f"upload:{'f' * 64}", **XL)

    assert request.size == (1024, 1024)


# --- within a mask


def test_a_masked_image_keeps_its_size() -> None:
    request = resolved("inpaint", init_image=IMAGE, mask=MASK, **XL)

    assert layout(request).pastes
    assert layout(request).work == Size(640, 480)
    assert request.size is None
    assert request.inputs["mask"] == MASK
    assert request.inputs["denoise"] == 1.0


def test_a_masked_image_that_is_too_large_is_drawn_smaller_and_enlarged() -> None:
    large = seen(Size(4000, 3000), Box(100, 100, 400, 300))
    inputs: dict[str, Any] = {"init_image": IMAGE, "mask": MASK, **XL}

    whole = resolved("inpaint", known=large, **inputs)
    part = resolved("inpaint", known=large, mask_area="masked", **inputs)

    assert layout(whole).work == Size(1776, 1328)
    assert notices(whole) == {"scaled_down": ("init_image",)}
    assert notices(part) == {}


def test_a_turned_mask_becomes_another_file() -> None:
    request = resolved("inpaint", init_image=IMAGE, mask=MASK, mask_invert=True, **XL)

    assert (request.inputs["mask"], request.inputs["mask_invert"]) == (NORMALISED, False)
    assert request.plan.files == (IMAGE, NORMALISED)
    assert again(request).inputs == request.inputs


@pytest.mark.parametrize(
    ("album", "code"),
    [
        (Album({IMAGE: Size(640, 480), MASK: Size(641, 480)}), "mask_size"),
        (Album({IMAGE: Size(640, 480), MASK: Size(640, 480)}, None), "empty_mask"),
    ],
)
def test_masks_that_cannot_be_used(album: Album, code: str) -> None:
    pictures = replace(KNOWN, pictures=album)

    found = problems("inpaint", known=pictures, init_image=IMAGE, mask=MASK, **XL)

    assert found[("mask",)][0] == code


@given(
    _SIZES, st.data(), st.integers(0, 31), st.integers(0, 200),
    st.sampled_from(["sd15", "sdxl", "flux1-dev", "hunyuan-image"]),
)  # fmt: skip
def test_the_surroundings_of_a_mask_have_all_of_its_soft_edge(
    size: Size, data: st.DataObject, feather: int, padding: int, family: str
) -> None:
    x = data.draw(st.integers(0, size.width - 1))
    y = data.draw(st.integers(0, size.height - 1))
    width = data.draw(st.integers(1, size.width - x))
    height = data.draw(st.integers(1, size.height - y))
    within = seen(size, Box(x, y, width, height))
    if size.pixels > PIXELS_MAX:
        return

    found = layout(
        resolved(
            "inpaint", known=within, init_image=IMAGE, mask=MASK, mask_area="masked",
            mask_feather=feather, mask_padding=padding, model=model(family),
        )
    )  # fmt: skip

    crop, work = found.crop, found.work
    reach = growth(feather, FAMILIES[family].size_multiple, crop.size, work) + feather
    assert crop.x <= max(0, x - reach)
    assert crop.y <= max(0, y - reach)
    assert crop.x + crop.width >= min(size.width, x + width + reach)
    assert crop.y + crop.height >= min(size.height, y + height + reach)
    assert min(crop.x, crop.y) >= 0
    assert crop.x + crop.width <= size.width
    assert crop.y + crop.height <= size.height


@pytest.mark.parametrize(
    ("inputs", "place", "code"),
    [
        ({"mask": MASK}, "mask", "needs_input"),
        ({"outpaint": {"left": 8}}, "outpaint", "needs_input"),
        ({"denoise": 0.5}, "denoise", "needs_input"),
        ({"init_image": IMAGE, "mask": MASK, "outpaint": {"left": 8}}, "mask", "excluded"),
        ({"init_image": IMAGE, "mask": MASK, "width": 512}, "width", "excluded"),
        ({"init_image": IMAGE, "outpaint": {"left": 8}, "height": 512}, "height", "excluded"),
        ({"init_image": IMAGE, "outpaint": {"left": 0}}, "outpaint", "nothing_added"),
        ({"init_image": IMAGE, "outpaint": {}}, "outpaint", "nothing_added"),
    ],
)
def test_inputs_that_do_not_go_together(inputs: dict[str, Any], place: str, code: str) -> None:
    assert problems(**inputs, **XL)[(place,)][0] == code


# --- beyond an image


def test_an_extended_image_has_the_sides_that_were_added() -> None:
    request = resolved("outpaint", init_image=IMAGE, outpaint={"left": 64, "bottom": 8}, **XL)

    assert request.inputs["outpaint"] == {"left": 64, "top": 0, "right": 0, "bottom": 8}
    assert layout(request).padded == Size(704, 488)
    assert layout(request).work == Size(704, 488)
    assert not {"mask_area", "mask_padding", "mask_invert", "width"} & set(request.inputs)
    assert request.inputs["mask_feather"] == 8


@pytest.mark.parametrize(
    ("workflow", "size", "inputs", "place"),
    [
        ("outpaint", Size(16_000, 64), {"outpaint": {"left": 512}}, "outpaint"),
        ("inpaint", Size(6000, 6000), {"mask": MASK}, "init_image"),
        ("inpaint", Size(2000, 2000), {"mask": MASK, "batch_size": 9}, "init_image"),
    ],
)
def test_results_that_would_be_too_large(
    workflow: str, size: Size, inputs: dict[str, Any], place: str
) -> None:
    album = seen(size, Box(0, 0, 8, 8))

    found = problems(workflow, known=album, init_image=IMAGE, **inputs, **XL)

    assert found[(place,)][0] == "too_many_pixels"


# --- as an edit


def test_an_edit_has_the_shape_of_its_first_image() -> None:
    request = resolved("edit", reference_images=[OTHER, IMAGE], model=model("flux2-dev"))

    assert request.size == (1456, 720)
    assert recipe(request).references == (Size(1456, 720), Size(1184, 880))
    assert notices(request) == {}


def test_an_edit_may_be_asked_for_in_another_size() -> None:
    request = resolved("edit", reference_images=[OTHER], width=512, model=model("flux2-dev"))

    assert request.size == (512, 1024)


@pytest.mark.parametrize(
    ("family", "references", "inputs", "code"),
    [
        ("sdxl", 1, {}, "cannot_edit"),
        ("qwen-image-edit", 2, {}, "too_many_references"),
        ("qwen-image-edit-2509", 4, {}, "too_many_references"),
        ("qwen-image-edit-2509", 3, {"init_image": IMAGE, "mask": MASK}, "too_many_references"),
        ("qwen-image-edit", 1, {"init_image": IMAGE, "mask": MASK}, "too_many_references"),
        ("qwen-image-edit", 0, {}, "needs_input"),
    ],
)
def test_how_many_images_a_family_takes(
    family: str, references: int, inputs: dict[str, Any], code: str
) -> None:
    if references:
        inputs = {"reference_images": [OTHER] * references, **inputs}

    found = problems(model=model(family), **inputs)

    assert found[("reference_images",)][0] == code


def test_a_start_image_beside_which_there_is_room() -> None:
    request = resolved(
        init_image=IMAGE,
        mask=MASK,
        reference_images=[OTHER] * 2,
        model=model("qwen-image-edit-2509"),
    )

    assert graph(request).node_count


def test_an_editing_model_redraws_the_image_that_it_is_given() -> None:
    request = resolved("img2img", init_image=IMAGE, model=model("qwen-image-edit"))

    assert request.inputs["denoise"] == 1.0


def test_a_model_that_fills_in_needs_a_mask() -> None:
    found = problems("img2img", init_image=IMAGE, model=model("flux1-fill"))

    assert found[("mask",)][0] == "needs_input"


# --- drawn twice


def test_the_second_pass_enlarges_by_the_first_upscale_model() -> None:
    request = resolved(hires={}, **SD15)

    assert request.inputs["hires"] == {
        "scale": 1.5,
        "method": "model",
        "model": "2x.safetensors",
        "steps": 20,
        "denoise": 0.4,
    }
    assert recipe(request).hires == Size(768, 768)
    assert request.plan.models["upscale_models"] == ("2x.safetensors",)


def test_without_one_it_enlarges_the_latent() -> None:
    assert KNOWN.catalogue is not None
    bare = replace(KNOWN, catalogue=replace(KNOWN.catalogue, upscalers=()))

    request = resolved(known=bare, hires={"scale": 2}, **SD15)

    assert request.inputs["hires"] == {
        "scale": 2.0, "method": "latent", "steps": 20, "denoise": 0.55,
    }  # fmt: skip


def test_a_second_pass_of_what_is_within_a_mask() -> None:
    request = resolved("inpaint", init_image=IMAGE, mask=MASK, hires={"scale": 2}, **XL)

    assert recipe(request).hires == Size(1280, 960)


@pytest.mark.parametrize(
    "inputs", [{"hires": {"scale": 4}, "width": 2048}, {"hires": {"scale": 3}, "batch_size": 16}]
)
def test_a_second_pass_that_would_be_too_large(inputs: dict[str, Any]) -> None:
    assert problems(**inputs, **XL)[("hires", "scale")][0] == "too_many_pixels"


def test_a_batch_of_an_image_that_would_be_too_large() -> None:
    large = seen(Size(1500, 1500))

    found = problems("img2img", known=large, init_image=IMAGE, batch_size=16, **XL)

    assert [code for code, _ in found.values()] == ["too_many_pixels"]
