"""What the preview of a batch says of the values of a row."""

from __future__ import annotations

from tests.browser.house import resolved
from web.batches.plan import values_of_inputs


def test_files_and_numbers_are_said_in_words() -> None:
    inputs = {
        "init_image": "artefact:9d0f3a52-1111-4222-8333-444455556666",
        "mask": f"upload:{'ab' * 32}",
        "scale": 2.0,
    }
    row = resolved("a fox").model_copy(update={"workflow": "upscale", "inputs": inputs})
    assert values_of_inputs(row, {"init_image": "Start image", "scale": "Scale"}) == [
        "Start image 9d0f3a52 (from the history)",
        "mask abababab (a file sent)",
        "Scale 2",
    ]
