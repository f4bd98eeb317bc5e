from __future__ import annotations

import pytest

from core.requests import SIZE_STEP
from web.forms.sizes import RATIOS, ratio_of, size_of


@pytest.mark.parametrize("native", [(512, 512), (1024, 1024)])
@pytest.mark.parametrize("ratio", RATIOS)
def test_a_ratio_keeps_about_the_models_pixels(ratio: str, native: tuple[int, int]) -> None:
    width, height = size_of(ratio, *native, swapped=False)
    assert width % SIZE_STEP == height % SIZE_STEP == 0
    assert 0.7 <= width * height / (native[0] * native[1]) <= 1.05
    across, down = map(int, ratio.split(":"))
    assert width / height == pytest.approx(across / down, rel=0.12)


def test_the_sizes_people_know() -> None:
    assert size_of("3:2", 1024, 1024, swapped=False) == (1216, 832)
    assert size_of("16:9", 1024, 1024, swapped=True) == (768, 1344)
    assert size_of("1:1", 512, 512, swapped=True) == (512, 512)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("ratio", RATIOS[1:])
def test_a_size_finds_its_button_again(ratio: str, swapped: bool) -> None:
    native = (1024, 1024)
    assert ratio_of(*size_of(ratio, *native, swapped=swapped), native) == (ratio, swapped)
    assert ratio_of(1000, 8, native) is None
