"""Files of rows that name local files: each is sent to a real API once."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image as Pillow

from core.workflows.declaration import Input, Workflow
from tests.api.conftest import shared_service
from tests.api.service import Backstage, Comfy, Service
from tests.cli.running import Ended, easel

EDIT: Final = Workflow(
    name="redraw",
    title="An edit",
    inputs=(
        Input(name="text", type="longtext", role="prompt", default=""),
        Input(name="start", type="image", role="init_image"),
        Input(name="more", type="list", items=Input(name="one", type="image")),
        Input(
            name="masks",
            type="list",
            items=Input(
                name="mask",
                type="group",
                fields=(
                    Input(name="file", type="mask"),
                    Input(name="strength", type="number"),
                ),
            ),
        ),
    ),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    with (
        Backstage() as backstage,
        Comfy(backstage) as comfy,
        shared_service(backstage, comfy, home) as service,
    ):
        told = EDIT.model_dump(mode="json", exclude_defaults=True)
        graph = {"1": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}}}
        body = {**told, "easel_workflow": 1, "graph": graph}
        answered = service.client.post("/api/v1/workflows", json=body)
        assert answered.status_code == 201, answered.text
        yield service


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The references of pictures that lie beside the file of rows, by their names."""
    (tmp_path / "in").mkdir()
    made = {}
    for name in ("fox.png", "in/hen.png", "in/owl, old.png"):
        buffer = io.BytesIO()
        colour = hashlib.sha256(f"{tmp_path}{name}".encode()).digest()[:3]
        Pillow.new("RGB", (30, 20), (colour[0], colour[1], colour[2])).save(buffer, "PNG")
        (tmp_path / name).write_bytes(buffer.getvalue())
        made[name] = f"upload:{hashlib.sha256(buffer.getvalue()).hexdigest()}"
    return made


async def _bulk(service: Service, file: Path, *more: str) -> Ended:
    # Of another folder: the names are relative to the file of rows.
    return await easel("bulk", str(file), "--api", service.url, *more, home=service.home)


async def _made(service: Service, file: Path, *more: str) -> list[dict[str, Any]]:
    """Returns the items that the command makes."""
    ended = await _bulk(service, file, "--no-wait", *more)
    assert ended.code == 0, ended.err
    batch_id = ended.out.strip().rpartition("/")[2]
    items: list[dict[str, Any]] = service.get(f"/api/v1/batches/{batch_id}/items").json()["items"]
    return items


def _inputs(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item["request"] for item in items]


async def test_cells_name_files_beside_the_file(
    service: Service, files: dict[str, str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "\ufefftext,start,more,masks.0.file\r\n"
        'a fox,fox.png,"[""fox.png"", ""in/hen.png""]",\r\n'
        "\r\n"
        '"two\r\nlines", @in/hen.png ,,fox.png\r\n'
        f'again,{files["fox.png"]},,"in/owl, old.png"\r\n'
        "none,,,\r\n",
        encoding="utf-8",
        newline="",
    )
    items = await _made(service, rows, "--workflow", "redraw")

    fox, hen, owl = files.values()
    assert [item["row"] for item in items] == [2, 4, 6, 7]
    first, second, third, last = _inputs(items)
    assert (first["start"], first["more"]) == (fox, [fox, hen])
    assert (second["text"], second["start"]) == ("two\r\nlines", hen)
    assert second["masks"][0]["file"] == fox
    assert (third["start"], third["masks"][0]["file"]) == (fox, owl)
    assert last.get("start") is None


async def test_lines_of_json_name_files_too(
    service: Service, files: dict[str, str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    lines = (
        {"text": "a", "start": "fox.png", "masks": [{"file": "in/hen.png", "strength": 1}]},
        {"text": "b", "inputs": {"more": ["in/hen.png"]}},
        {"text": "c", "start": str(tmp_path / "fox.png")},
    )
    rows.write_text("\n".join(map(json.dumps, lines)))
    fox, hen, _ = files.values()
    first, second, third = _inputs(await _made(service, rows, "--workflow", "redraw"))
    assert first["start"] == third["start"] == fox
    assert first["masks"] == [{"file": hen, "strength": 1}]
    assert second["more"] == [hen]


async def test_a_request_names_files_in_defaults_items_and_grid(
    service: Service, files: dict[str, str], tmp_path: Path
) -> None:
    request = {
        "workflow": "redraw",
        "defaults": {"masks": [{"file": "in/owl, old.png"}]},
        "items": [{"text": "a"}, {"text": "b", "more": ["fox.png"]}],
        "grid": {"start": ["fox.png", "in/hen.png"]},
    }
    file = tmp_path / "edits.json"
    file.write_text(json.dumps(request))
    fox, hen, owl = files.values()
    made = _inputs(await _made(service, file))
    assert [each["start"] for each in made] == [fox, hen, fox, hen]
    assert {each["masks"][0]["file"] for each in made} == {owl}
    assert [each.get("more") or [] for each in made] == [[], [], [fox], [fox]]


async def test_the_same_files_are_the_same_batch(
    service: Service, files: dict[str, str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text,start\na fox,fox.png\n")
    asked = ("--workflow", "redraw", "--no-wait")
    first = await _bulk(service, rows, *asked)
    again = await _bulk(service, rows, *asked)
    (tmp_path / "fox.png").write_bytes((tmp_path / "in/hen.png").read_bytes())
    other = await _bulk(service, rows, *asked)

    assert first.out == again.out != other.out
    assert "exists already" in again.err
    assert "exists already" not in other.err


async def test_files_that_are_not_taken_are_named_with_their_rows(
    service: Service, files: dict[str, str], tmp_path: Path
) -> None:
    assert files
    (tmp_path / "page.html").write_text("<!doctype html>")
    rows = tmp_path / "rows.csv"
    rows.write_text("text,start\na,fox.png\nb,none.png\n\nc,page.html\n")
    report = tmp_path / "report.csv"
    ended = await _bulk(service, rows, "--workflow", "redraw", "--report", str(report))
    assert ended.code == 2
    assert "none.png cannot be read" in report.read_text()
    told = [line.split(",")[:3] for line in report.read_text().splitlines()[1:]]
    assert told == [["3", "start", "file"], ["5", "start", "file"]]

    made = await _made(service, rows, "--workflow", "redraw", "--skip-bad")
    assert [item["row"] for item in made] == [2]


async def test_what_cannot_be_read_is_told_by_the_api(service: Service, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text('text,start\na,"fox.png\n')
    ended = await _bulk(service, rows, "--workflow", "redraw")
    assert ended.code == 2
    assert "quotes" in ended.err
    unknown = await _bulk(service, rows, "--workflow", "edit-2")
    assert unknown.code == 2
    assert "no such workflow" in unknown.err
