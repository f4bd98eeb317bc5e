"""References to files as the pages show them."""

from __future__ import annotations

import pytest

from api.batches.tables import Line, Table
from web.batches.sheet import as_sent
from web.parts.references import file_url, pictured, thumb_url

ID = "9d0f3a52-1111-4222-8333-444455556666"
MADE = f"artefact:{ID}"
SENT = f"upload:{'ab' * 32}"


def test_what_is_made_has_a_small_picture_and_what_was_sent_itself() -> None:
    assert file_url(MADE) == f"/api/v1/artefacts/{ID}"
    assert thumb_url(MADE) == f"/api/v1/artefacts/{ID}/poster"
    assert file_url(SENT) == thumb_url(SENT) == f"/api/v1/uploads/{'ab' * 32}"


@pytest.mark.parametrize("odd", [None, 7, "", "artefact:1", "upload:../x", f"{SENT}0", "a fox"])
def test_anything_else_is_no_file(odd: object) -> None:
    assert file_url(odd) is None
    assert thumb_url(odd) is None


@pytest.mark.parametrize(
    ("label", "text", "pictures"),
    [
        ("CFG 4.5", "CFG 4.5", 0),
        (f"Init image {MADE}", "Init image", 1),
        (f"Init image {MADE}, Denoise 0.4", "Init image, Denoise 0.4", 1),
        (f"Reference images {MADE}, {SENT}", "Reference images", 2),
        (f"Reference images {MADE}, {SENT}, CFG 7", "Reference images, CFG 7", 2),
        ("", "", 0),
    ],
)
def test_labels_have_pictures_in_place_of_references(label: str, text: str, pictures: int) -> None:
    said, found = pictured(label)
    assert said == text
    assert len(found) == pictures


def test_tables_are_sent_with_the_pictures_of_their_rows_and_columns() -> None:
    table = Table(
        row=0,
        caption="a red fox",
        columns=(f"Init image {MADE}", f"Init image {SENT}"),
        lines=(Line(label="Denoise 0.4", items=(None, None)),),
    )
    [sent] = as_sent([table], {})
    assert [column["pictures"] for column in sent["columns"]] == [
        [f"/api/v1/artefacts/{ID}/poster"],
        [f"/api/v1/uploads/{'ab' * 32}"],
    ]
    assert [column["label"] for column in sent["columns"]] == ["Init image"] * 2
    assert sent["lines"][0]["label"] == "Denoise 0.4"
    assert sent["lines"][0]["pictures"] == []
