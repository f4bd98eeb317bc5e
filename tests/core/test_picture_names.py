"""Names that users' scripts rely on: they stay as they are."""

from __future__ import annotations

import pytest

from core.picture_names import picture_stem


@pytest.mark.parametrize(
    ("position", "number", "prompt", "name"),
    [
        (0, 0, "a red fox", "00001-a-red-fox"),
        (41, 1, "a red fox, at dawn [film]", "00042-2-a-red-fox-at-dawn-film"),
        (99_999, 0, "Ein Fuchs_im Grünen", "100000-Ein-Fuchs_im-Grünen"),
        (0, 0, "赤い狐", "00001-赤い狐"),
        (0, 0, "../../etc/passwd", "00001-etc-passwd"),
        (0, 0, "!!!", "00001"),
        (0, 0, "", "00001"),
        (0, 0, "x" * 60, "00001-" + "x" * 40),
        (0, 0, "x" * 39 + " y", "00001-" + "x" * 39),
    ],
)
def test_a_picture_is_called_after_its_place_and_prompt(
    position: int, number: int, prompt: str, name: str
) -> None:
    assert picture_stem(position, number, prompt) == name
