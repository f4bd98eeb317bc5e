from __future__ import annotations

import pytest

from web.studio.stage import columns_for


@pytest.mark.parametrize(
    ("count", "ratio", "space", "columns"),
    [
        (1, 1.0, 1.7, 1),
        (4, 1.0, 1.7, 2),
        (4, 9 / 21, 1.7, 4),
        (4, 21 / 9, 1.7, 2),
        (4, 5.0, 1.7, 1),
        (4, 9 / 21, 1.0, 4),
        (3, 1.0, 1.0, 2),
        (16, 1.0, 1.0, 4),
    ],
)
def test_pictures_stand_in_as_many_columns_as_make_them_largest(
    count: int, ratio: float, space: float, columns: int
) -> None:
    assert columns_for(count, ratio, space) == columns
