from __future__ import annotations

import pytest

from core.workflows.limits import SIZE_STEP
from web.forms.sizes import RATIOS, parts_of, ratio_of, size_of


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
