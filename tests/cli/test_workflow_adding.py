"""``easel workflows add`` and ``edit``: what is printed, and what is there then."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import shared_service
from tests.api.service import Backstage, Comfy, Service
from tests.api.test_workflow_import import GRAPH, PAGE
from tests.cli.running import Ended, easel
from tests.harness.waiting import wait_until


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with (
        Backstage() as backstage,
        Comfy(backstage) as comfy,
        shared_service(backstage, comfy, tmp_path_factory.mktemp("home")) as service,
    ):
        wait_until(lambda: service.get("/api/v1/workflows/txt2img").json()["state"] == "ready")
        yield service


async def _workflows(service: Service, *arguments: str, **more: str) -> Ended:
    return await easel("workflows", *arguments, "--api", service.url, home=service.home, more=more)


def _file(folder: Path, content: object, name: str = "fox.json") -> str:
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


async def test_a_file_is_added_and_told_of(service: Service, tmp_path: Path) -> None:
    dry = await _workflows(service, "add", _file(tmp_path, PAGE), "--dry-run", "--name", "fox-1")
    assert dry.code == 0
    assert "would be added as fox-1" in dry.out
    assert (await _workflows(service, "show", "fox-1")).code == 2

    added = await _workflows(service, "add", _file(tmp_path, PAGE), "--name", "fox-1")

    assert added.code == 0, added.err
    assert "fox: added as fox-1" in added.out
    assert "prompt" in added.out
    assert "Left out: Note" in added.out
    assert 'Next: easel generate "a red fox" --workflow fox-1' in added.out
    listed = await _workflows(service, "list")
    assert [line.split()[3] for line in listed.out.splitlines() if "fox-1" in line] == ["ready"]
    again = await _workflows(service, "add", _file(tmp_path, PAGE), "--name", "fox-1")
    assert again.code == 2
    assert "fox-1" in again.err


async def test_what_is_missing_is_told(service: Service, tmp_path: Path) -> None:
    graph = {**GRAPH, "1": {"class_type": "ZX81", "inputs": {}}}

    added = await _workflows(service, "add", _file(tmp_path, graph), "--name", "lacking")

    assert added.code == 0
    assert "Missing node class ZX81" in added.out
    shown = await _workflows(service, "show", "lacking")
    assert "missing nodes: ZX81" in shown.out


async def test_fields_are_named_as_inputs(service: Service, tmp_path: Path) -> None:
    file = _file(tmp_path, GRAPH)
    added = await _workflows(
        service, "add", file, "--name", "shade", "--title", "A shade", "--input", "1.color=shade"
    )
    assert "A shade: added as shade" in added.out
    found = service.get("/api/v1/workflows/shade").json()
    assert "shade" in [one["name"] for one in found["inputs"]]
    wrong = await _workflows(service, "add", file, "--input", "1.zx=shade")
    assert wrong.code == 2


async def test_what_cannot_be_read_says_so(service: Service, tmp_path: Path) -> None:
    absent = await _workflows(service, "add", str(tmp_path / "absent.json"))
    assert absent.code == 2
    assert "absent.json" in absent.err
    none = await _workflows(service, "add", _file(tmp_path, {"a": 1}))
    assert none.code == 2
    assert (await _workflows(service, "add", "template:zx81")).code == 2


async def test_a_declaration_is_edited(service: Service, tmp_path: Path) -> None:
    await _workflows(service, "add", _file(tmp_path, GRAPH), "--name", "edited")
    script = tmp_path / "editor.py"
    script.write_text(
        "import json, sys\n"
        "told = json.load(open(sys.argv[1]))\n"
        "told['title'] = 'By hand'\n"
        "json.dump(told, open(sys.argv[1], 'w'))\n",
        encoding="utf-8",
    )

    ended = await _workflows(service, "edit", "edited", EDITOR=f"{sys.executable} {script}")

    assert ended.code == 0, ended.err
    assert service.get("/api/v1/workflows/edited").json()["title"] == "By hand"
    unchanged = await _workflows(service, "edit", "edited", EDITOR="true")
    assert "Nothing was changed" in unchanged.err
    by_file = await _workflows(
        service, "edit", "edited", "--from", _file(tmp_path, {"title": "By file"}, "change.json")
    )
    assert by_file.code == 0
    assert service.get("/api/v1/workflows/edited").json()["title"] == "By file"
    wrong = await _workflows(
        service, "edit", "edited", "--from", _file(tmp_path, {"inputs": [{}]}, "wrong.json")
    )
    assert wrong.code == 2
    assert (await _workflows(service, "edit", "edited", EDITOR="")).code == 2
