from __future__ import annotations

from functools import partial

import pytest

from core.workflows.declaration import Input
from core.workflows.limits import SIZE_STEP
from tests.harness.steps import steps
from web.forms.size_field import sizes_of
from web.forms.sizes import RATIOS, parts_of, ratio_of, size_of, sizes_near


@pytest.mark.parametrize("native", [512, 768, 1328])
@pytest.mark.parametrize("ratio", RATIOS)
def test_a_ratio_has_its_shape_and_about_the_models_pixels(ratio: str, native: int) -> None:
    width, height = size_of(ratio, native, native)
    assert width % SIZE_STEP == height % SIZE_STEP == 0
    assert width * height == pytest.approx(native * native, rel=0.05)
    across, down = parts_of(ratio)
    assert width / height == pytest.approx(across / down, rel=0.01)


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_model_gets_the_sizes_it_was_trained_on(ratio: str) -> None:
    width, height = size_of(ratio, 1024, 1024)
    assert width % 64 == height % 64 == 0
    across, down = parts_of(ratio)
    assert width / height == pytest.approx(across / down, rel=0.04)


def test_the_sizes_people_know() -> None:
    assert size_of("3:2", 1024, 1024) == (1216, 832)
    assert size_of("9:16", 1024, 1024) == (768, 1344)
    assert size_of("2:3", 512, 512) == (416, 624)
    assert size_of("1:1", 512, 512) == (512, 512)


@pytest.mark.parametrize("side", [512, 768, 1024])
@pytest.mark.parametrize("ratio", RATIOS)
def test_a_size_finds_its_button_again(ratio: str, side: int) -> None:
    native = (side, side)
    assert ratio_of(*size_of(ratio, *native), native) == ratio
    assert ratio_of(1000, 8, native) is None


def test_a_large_size_takes_no_more_steps_than_a_small_one() -> None:
    small = steps(partial(sizes_near, 1001, 1003))
    assert steps(partial(sizes_near, 16_381, 16_301)) < 2 * small


def _sides(width: int, height: int, multiple_of: float | None = None) -> tuple[Input, Input]:
    made = (
        Input(name=name, type="integer", default=default, multiple_of=multiple_of)
        for name, default in (("width", width), ("height", height))
    )
    wide, high = made
    return wide, high


@pytest.mark.parametrize("sides", [(10**9, 64), (64, 10**400), (16_385, 16_385), (0, 64), (-1, 64)])
def test_sizes_beyond_all_images_have_no_ratios(sides: tuple[int, int]) -> None:
    assert sizes_of(*_sides(*sides)) == {}
    assert sizes_of(*_sides(16_384, 16_384)).keys() == RATIOS.keys()


@pytest.mark.parametrize(("multiple_of", "step"), [(0.5, 16), (2.5, 48), (64, 64), (None, 16)])
def test_ratios_keep_to_steps_of_any_size(multiple_of: float | None, step: int) -> None:
    sizes = sizes_of(*_sides(1024, 1024, multiple_of))

    assert all(side % step == 0 for ratio, size in sizes.items() if ratio != "1:1" for side in size)
    assert sizes.keys() == RATIOS.keys()
    assert sizes_of(*_sides(1024, 1024, 1e300)) == {}
