"""What a graph saves, where that is certain."""

from __future__ import annotations

from typing import Any

import pytest

from comfy.workflows.counting import saver_of


def graph(saver: str = "SaveImage", many: Any = 1, **more: str) -> dict[str, Any]:
    """One source of images, what stands between by its class, and what saves."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"batch_size": many}},
        **{name: {"class_type": kind, "inputs": {}} for name, kind in more.items()},
        "2": {"class_type": saver, "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


@pytest.mark.parametrize("many", [1, 3])
def test_images_are_counted(many: int) -> None:
    found = saver_of(graph(many=many, scaled="ImageScale"))

    assert found is not None
    assert (found.node, found.count) == ("2", many)


@pytest.mark.parametrize(
    "uncertain",
    [
        graph(many=["7", 0]),
        graph(many="3"),
        graph(many=0),
        graph(between="RepeatImageBatch"),
        graph(shown="PreviewImage"),
        graph(saver="SaveVideo"),
        graph(saver="SaveOfAPack"),
        {**graph(), "3": graph()["2"]},
        {**graph(), "3": graph(many=2)["1"]},
        {},
    ],
)
def test_what_is_not_certain_is_not_counted(uncertain: dict[str, Any]) -> None:
    assert saver_of(uncertain) is None
