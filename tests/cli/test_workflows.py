"""`easel workflows`, and the inputs of a workflow on the command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from comfy import BUILT_IN, TXT2IMG
from core.workflows.declaration import Input, Workflow
from tests.api.conftest import shared_service
from tests.api.service import Backstage, Comfy, Service
from tests.cli.running import Ended, easel
from tests.cli.scripted_api import ScriptedApi, document, send, serve

FILM: Final = Workflow(
    name="film",
    title="A film",
    inputs=(
        Input(name="text", type="longtext", role="prompt", required=True),
        Input(name="noise_seed", type="seed", role="seed"),
        Input(name="frames", type="integer", minimum=1, default=81),
        Input(name="strength", type="number"),
        Input(name="loop", type="boolean"),
        Input(name="start", type="image", role="init_image"),
        Input(name="references", type="list", items=Input(name="reference", type="image")),
        Input(
            name="controls",
            type="list",
            items=Input(
                name="control",
                type="group",
                fields=(
                    Input(name="image", type="image"),
                    Input(name="model", type="model", folder="controlnet"),
                ),
            ),
        ),
        Input(
            name="loras",
            type="list",
            items=Input(
                name="lora",
                type="group",
                fields=(
                    Input(name="name", type="model", folder="loras"),
                    Input(name="strength", type="number"),
                ),
            ),
        ),
    ),
)


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    documents = {one.name: one.model_dump(mode="json") for one in (FILM, TXT2IMG)}
    async with serve(ScriptedApi(workflows=documents)) as api:
        yield api


async def _to_the_end(response: web.StreamResponse, _last_id: str | None) -> None:
    await send(response, "status", document("succeeded"), 2)


async def _generate(api: ScriptedApi, folder: Path, *more: str) -> Ended:
    api.streams += [_to_the_end] * 10
    return await easel("generate", *more, "--api", api.url, "--out", str(folder), home=folder)


async def _asked(api: ScriptedApi, folder: Path, *more: str) -> list[dict[str, Any]]:
    ended = await _generate(api, folder, *more)
    assert ended.code == 0, ended.err
    return api.requests


async def test_values_are_what_the_workflow_declares(api: ScriptedApi, tmp_path: Path) -> None:
    options = ("frames=33", "strength=0.5", "loop=true", "metadata.order=42", "priority=bulk")
    settings = [word for each in options for word in ("--set", each)]
    [asked] = await _asked(api, tmp_path, "a fox", "--workflow", "film", *settings)
    assert asked == {
        "workflow": "film",
        "text": "a fox",
        "frames": 33,
        "strength": 0.5,
        "loop": True,
        "metadata": {"order": "42"},
        "priority": "bulk",
    }


async def test_nested_values_are_put_together(api: ScriptedApi, tmp_path: Path) -> None:
    options = ("loras.0.name=a.safetensors", "loras.0.strength=1", "loras.1.name=b.safetensors")
    settings = [word for each in options for word in ("--set", each)]
    [asked] = await _asked(api, tmp_path, "a fox", "--workflow", "film", *settings)
    assert asked["loras"] == [{"name": "a.safetensors", "strength": 1}, {"name": "b.safetensors"}]


async def test_options_go_to_the_inputs_of_their_roles(api: ScriptedApi, tmp_path: Path) -> None:
    asked = await _asked(
        api, tmp_path, "a fox", "--workflow", "film", "--seed", "7", "--count", "2"
    )
    assert [(each["text"], each["noise_seed"]) for each in asked] == [("a fox", 7), ("a fox", 8)]
    assert all("batch_size" not in each for each in asked)


async def test_the_built_in_workflow_takes_its_inputs_by_name(
    api: ScriptedApi, tmp_path: Path
) -> None:
    [asked] = await _asked(api, tmp_path, "a fox", "--set", "width=512", "--steps", "9")
    assert asked == {"prompt": "a fox", "width": 512, "steps": 9, "batch_size": 1}


async def test_a_file_is_brought_once(api: ScriptedApi, tmp_path: Path) -> None:
    file = tmp_path / "start.png"
    file.write_bytes(b"a picture")
    for _ in range(2):
        await _asked(api, tmp_path, "a fox", "--workflow", "film", "--set", f"start=@{file}")
    assert api.uploads == [b"a picture"]
    wanted = f"upload:{hashlib.sha256(b'a picture').hexdigest()}"
    assert [each["start"] for each in api.requests] == [wanted, wanted]


@pytest.mark.parametrize(
    ("text", "loras"),
    [
        ("film:0.8", [{"name": "film", "strength": 0.8}]),
        ("a/film.safetensors", [{"name": "a/film.safetensors"}]),
        (
            "film:0.8, grain:-1",
            [{"name": "film", "strength": 0.8}, {"name": "grain", "strength": -1}],
        ),
        ("film:v2", [{"name": "film:v2"}]),
        ("film:v2:1e-1", [{"name": "film:v2", "strength": 0.1}]),
        ('[{"name": "film", "strength": 2}]', [{"name": "film", "strength": 2}]),
    ],
)
async def test_loras_are_named_with_their_strengths(
    api: ScriptedApi, tmp_path: Path, text: str, loras: list[dict[str, Any]]
) -> None:
    [asked] = await _asked(api, tmp_path, "a fox", "--workflow", "film", "--set", f"loras={text}")
    assert asked["loras"] == loras


async def test_files_inside_of_lists_are_sent(api: ScriptedApi, tmp_path: Path) -> None:
    file = tmp_path / "pose.png"
    file.write_bytes(b"a picture")
    reference = f"upload:{hashlib.sha256(b'a picture').hexdigest()}"
    controls = json.dumps([{"image": f"@{file}", "model": "canny"}, {"image": reference}])

    for settings, wanted in (
        (f"controls={controls}", [{"image": reference, "model": "canny"}, {"image": reference}]),
        (f"controls.0.image=@{file}", [{"image": reference}]),
    ):
        asked = await _asked(api, tmp_path, "a fox", "--workflow", "film", "--set", settings)
        assert asked[-1]["controls"] == wanted
    asked = await _asked(
        api, tmp_path, "a fox", "--workflow", "film", "--set", f"references=@{file}"
    )
    assert asked[-1]["references"] == [reference]
    assert api.uploads == [b"a picture"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--set", "frame=1"), "near matches: frames"),
        (("--set", "loras.0.nam=x"), "near matches: name"),
        (("--set", "frames"), "write it as name=value"),
        (("--set", "frames=many"), "frames: must be a whole number"),
        (("--set", "frames=1", "--set", "frames=2"), "given twice"),
        (("--set", "loras.1.name=x"), "loras.0 is missing"),
        (("--set", "start=@nowhere.png"), "cannot be read"),
        (("--steps", "9"), "no input for steps"),
    ],
)
async def test_what_cannot_be_read_is_told(
    api: ScriptedApi, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    ended = await _generate(api, tmp_path, "a fox", "--workflow", "film", *arguments)
    assert ended.code == 2
    assert told in ended.err
    assert api.requests == []


async def test_an_unknown_workflow_is_told(api: ScriptedApi, tmp_path: Path) -> None:
    ended = await _generate(api, tmp_path, "a fox", "--workflow", "fil")
    assert ended.code == 2
    assert "there is no workflow fil" in ended.err


async def test_without_a_prompt_or_a_workflow_nothing_is_asked(
    api: ScriptedApi, tmp_path: Path
) -> None:
    ended = await _generate(api, tmp_path)
    assert ended.code == 2
    assert "say what to draw" in ended.err


# --- easel workflows, with a whole API


@pytest.fixture(scope="module")
def backstage() -> Iterator[Backstage]:
    with Backstage() as backstage:
        yield backstage


@pytest.fixture(scope="module")
def service(backstage: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    with Comfy(backstage) as comfy, shared_service(backstage, comfy, home) as service:
        yield service


def _imported(service: Service, name: str) -> None:
    node = {"class_type": "CLIPTextEncode", "inputs": {"text": ""}}
    told = FILM.model_dump(mode="json", exclude_defaults=True)
    answered = service.client.post(
        "/api/v1/workflows", json={**told, "easel_workflow": 1, "name": name, "graph": {"1": node}}
    )
    assert answered.status_code == 201, answered.text


async def _workflows(service: Service, *arguments: str) -> Ended:
    return await easel("workflows", *arguments, "--api", service.url, home=service.home)


async def test_workflows_are_listed_and_shown(service: Service) -> None:
    _imported(service, "film-1")
    listed = await _workflows(service, "list")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()[:2]] == ["name", "txt2img"]
    assert "film-1" in listed.out
    shown = await _workflows(service, "show", "film-1")
    assert "loras.0.name" in shown.out
    assert "a file of loras" in shown.out
    as_json = await _workflows(service, "show", "film-1", "--json")
    assert json.loads(as_json.out)["name"] == "film-1"


@pytest.mark.parametrize("name", list(BUILT_IN))
async def test_a_built_in_one_is_shown_with_all_of_its_inputs(service: Service, name: str) -> None:
    shown = await _workflows(service, "show", name)
    assert shown.code == 0, shown.err
    for one in BUILT_IN[name].inputs:
        assert one.name in shown.out


async def test_a_workflow_is_exported_and_removed(service: Service, tmp_path: Path) -> None:
    _imported(service, "film-2")
    file = tmp_path / "film.json"
    written = await _workflows(service, "export", "film-2", "--out", str(file))
    assert (written.code, written.out) == (0, f"{file}\n")
    assert json.loads(file.read_bytes())["name"] == "film-2"
    printed = await _workflows(service, "export", "film-2")
    assert json.loads(printed.out) == json.loads(file.read_bytes())

    assert (await _workflows(service, "remove", "film-2")).code == 0
    gone = await _workflows(service, "show", "film-2")
    assert gone.code == 2
    assert "film-2" not in (await _workflows(service, "list")).out
    assert (await _workflows(service, "remove", "txt2img")).code == 2
