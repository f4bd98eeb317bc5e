"""``easel workflows add`` and ``edit``: what is printed, and what is there then."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import shared_service
from tests.api.service import Backstage, Comfy, Service, closed_port
from tests.api.test_workflow_import import GRAPH, PAGE
from tests.cli.running import Ended, easel
from tests.harness.databases import a_store
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


async def test_what_easel_ships_is_listed_first_and_added_by_its_name(
    service: Service, tmp_path: Path
) -> None:
    listed = await _workflows(service, "sources")
    lines = listed.out.splitlines()
    assert listed.code == 0
    assert lines[0].startswith("Easel ships")
    [of_comfyui] = [place for place, line in enumerate(lines) if line == "ComfyUI offers:"]
    assert [line for line in lines[:of_comfyui] if line.startswith("wan22-t2v ")]
    assert [line for line in lines[of_comfyui:] if line.startswith("template:")]

    added = await _workflows(service, "add", "hunyuan3d")

    assert added.code == 0, added.err
    assert "Hunyuan3D 2.1: added as hunyuan3d" in added.out
    assert service.get("/api/v1/workflows/hunyuan3d").json()["kind"] == "model3d"
    dry = await _workflows(service, "add", "shipped:hunyuan3d", "--dry-run")
    assert "would be added as hunyuan3d-2" in dry.out


async def test_a_word_that_names_nothing_is_told_what_is_near(service: Service) -> None:
    unknown = await _workflows(service, "add", "wan22-t2")

    assert unknown.code == 2
    assert "there is no file wan22-t2" in unknown.err
    assert "wan22-t2v" in unknown.err
    as_source = await _workflows(service, "add", "shipped:wan22-t2")
    assert as_source.code == 2
    assert "wan22-t2v" in as_source.err


async def test_a_file_comes_before_what_easel_ships(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _file(tmp_path, GRAPH, "upscale")
    monkeypatch.chdir(tmp_path)

    added = await _workflows(service, "add", "upscale", "--name", "of-a-file")

    assert added.code == 0, added.err
    assert service.get("/api/v1/workflows/of-a-file").json()["origin"]["file"] == "upscale"


async def test_while_comfyui_is_away_the_list_says_so(tmp_path: Path) -> None:
    a_store(tmp_path / "easel.db")
    with (
        Backstage() as backstage,
        Service(backstage, tmp_path, closed_port(), f"{closed_port()}/api") as away,
    ):
        listed = await _workflows(away, "sources")

    assert listed.code == 0
    assert "wan22-t2v" in listed.out
    assert "ComfyUI offers" not in listed.out
    assert "cannot be reached" in listed.err
