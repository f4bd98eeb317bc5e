"""Sizes and places: shapes are kept, what is cut out has it all, masks do not vanish."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from comfy.workflows.layout import (
    LARGEST,
    Box,
    Size,
    around,
    for_whole,
    growth,
    of_area,
    rounded,
    within,
)
from core.workflows.limits import SIZE_MAX, SIZE_MIN

MULTIPLES = st.sampled_from((8, 16, 32))
AREAS = st.sampled_from((512 * 512, 1024 * 1024, 1328 * 1328, 2048 * 2048))
SIDES = st.integers(1, 16_384)
SIZES = st.builds(Size, SIDES, SIDES)
USUAL = st.integers(256, 4096)
USUAL_SIZES = st.builds(Size, USUAL, USUAL)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[Box, Size]:
    """A box, and the picture that it is in."""
    whole = draw(SIZES)
    width, height = draw(st.integers(1, whole.width)), draw(st.integers(1, whole.height))
    x, y = draw(st.integers(0, whole.width - width)), draw(st.integers(0, whole.height - height))
    return Box(x, y, width, height), whole


def is_allowed(size: Size, multiple: int) -> bool:
    return all(
        side % multiple == 0 and SIZE_MIN <= side <= SIZE_MAX for side in (size.width, size.height)
    )


def is_alike(first: Size, second: Size, multiple: int) -> bool:
    """Whether the sides of the first are those of the second in one scale, each to its multiple."""
    scale = math.sqrt(first.pixels / second.pixels)
    off = (abs(one - other * scale) for one, other in zip(first, second, strict=True))
    return max(off) <= multiple * (1 + max(second) / min(second))


# --- sizes


@given(st.floats(0, 1e5), st.floats(0, 1e5), MULTIPLES)
def test_a_rounded_size_is_the_nearest_that_is_allowed(
    width: float, height: float, multiple: int
) -> None:
    found = rounded(width, height, multiple)

    assert is_allowed(found, multiple)
    for side, wanted in zip(found, (width, height), strict=True):
        if SIZE_MIN <= wanted <= SIZE_MAX:
            assert abs(side - wanted) <= multiple / 2


@given(SIZES, AREAS, MULTIPLES)
def test_every_size_that_is_sampled_is_allowed(size: Size, area: int, multiple: int) -> None:
    found = (of_area(size, area, multiple), for_whole(size, area, multiple), within(size, multiple))

    assert all(is_allowed(one, multiple) for one in found)


@given(USUAL_SIZES, AREAS, MULTIPLES)
def test_a_shape_is_kept_in_another_area(size: Size, area: int, multiple: int) -> None:
    found = of_area(size, area, multiple)

    if max(size) / min(size) <= 4 or max(found) < SIZE_MAX:
        assert is_alike(found, size, multiple)
    if max(found) < SIZE_MAX:
        assert abs(found.pixels - area) <= multiple * (sum(found) + multiple)


@given(SIZES, AREAS, MULTIPLES)
def test_a_picture_is_sampled_as_it_is_unless_it_is_too_large(
    size: Size, area: int, multiple: int
) -> None:
    found = for_whole(size, area, multiple)

    if size.pixels <= area * LARGEST and max(size) <= SIZE_MAX:
        assert found == rounded(*size, multiple)
    else:
        assert found.pixels <= round(area * LARGEST) + multiple * (sum(found) + multiple)


@given(SIZES, MULTIPLES)
def test_a_picture_that_is_drawn_once_more_keeps_its_size_up_to_the_largest(
    size: Size, multiple: int
) -> None:
    found = within(size, multiple)

    if max(size) <= SIZE_MAX:
        assert found == rounded(*size, multiple)
    elif min(size) * SIZE_MAX / max(size) >= SIZE_MIN:
        assert max(found) == SIZE_MAX
        factor = SIZE_MAX / max(size)
        for side, whole in zip(found, size, strict=True):
            assert abs(side - whole * factor) <= multiple / 2 + 1e-6


# --- places


@given(boxes(), st.integers(0, 1024), st.integers(0, 2048))
def test_what_is_seen_around_a_box_is_in_the_picture_and_has_it(
    found: tuple[Box, Size], padding: int, smallest: int
) -> None:
    box, whole = found

    seen = around(box, padding, smallest, whole)

    for start, length, inner, inside, end in (
        (seen.x, seen.width, box.x, box.width, whole.width),
        (seen.y, seen.height, box.y, box.height, whole.height),
    ):
        assert start >= 0
        assert start + length <= end
        assert start <= inner
        assert start + length >= inner + inside
        assert length >= min(smallest, end)
        assert start == 0 or inner - start >= padding
        assert start + length == end or start + length - inner - inside >= padding
        assert length == min(end, max(smallest, inside + 2 * padding))


@given(boxes())
def test_a_box_alone_is_seen_as_it_is(found: tuple[Box, Size]) -> None:
    box, whole = found

    assert around(box, 0, 1, whole) == box
    assert Box.of(whole).size == whole
    assert box.size == (box.width, box.height)


@given(USUAL_SIZES, USUAL_SIZES, st.integers(0, 31), MULTIPLES, st.data())
def test_a_mask_of_one_pixel_does_not_vanish_where_it_is_sampled(
    crop: Size, near: Size, feather: int, cell: int, data: st.DataObject
) -> None:
    work = rounded(*near, cell)
    grown = growth(feather, cell, crop, work)
    at = data.draw(st.integers(0, crop.width - 1))

    # The mask is scaled to the cells without a filter: only the pixels at their middles are seen.
    cells = work.width // cell
    middles = [(number + 0.5) * crop.width / cells for number in range(cells)]
    assert any(at - grown <= middle <= at + 1 + grown for middle in middles)
    assert grown >= feather  # or what is masked would be softened too
