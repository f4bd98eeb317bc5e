"""`easel models`, with a whole API and a ComfyUI over real files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfy.emulator import Emulator, EmulatorOptions
from tests.api.conftest import until_catalogue
from tests.api.service import Backstage, Service, closed_port
from tests.api.test_models import appear, look
from tests.cli.running import Ended, easel
from tests.comfy.families.files import ROWS, safetensors
from tests.harness.databases import a_store
from tests.harness.waiting import wait_until

FILES = {
    "checkpoints/sd_xl_base_1.0.ckpt": b"",
    "checkpoints/twice.safetensors": b"",
    "diffusion_models/fast.safetensors": safetensors(ROWS["z-image"]),
    "diffusion_models/odd.safetensors": safetensors({"odd": (1,)}),
    "loras/twice.safetensors": b"",
    "text_encoders/qwen_3_4b.safetensors": b"",
    "vae/ae.safetensors": b"",
}


@pytest.fixture(scope="module")
def backstage() -> Iterator[Backstage]:
    with Backstage() as backstage:
        yield backstage


@pytest.fixture(scope="module")
def service(backstage: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root, home = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("home")
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    a_store(home / "easel.db")
    emulator = Emulator(EmulatorOptions(models_dir=root))
    backstage.run(emulator.start())
    with Service(backstage, home, emulator.url, f"{closed_port()}/api") as service:
        until_catalogue(service)
        appear(service, "gpu-1", emulator.url)
        look(service, emulator.url)
        wait_until(lambda: _is_looked_at(service))
        yield service
    backstage.run(emulator.stop())


def _is_looked_at(service: Service) -> bool:
    """Whether the API has taken over what the worker read; details speak of headers before."""
    files = service.get("/api/v1/models").json()["models"]
    return any(one["reason"] == "header" for one in files)


async def models(service: Service, *arguments: str) -> Ended:
    return await easel("models", *arguments, "--api", service.url, home=service.home)


async def as_json(service: Service, *arguments: str) -> Any:
    ended = await models(service, *arguments, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


async def test_files_are_listed_with_how_they_are_known(service: Service) -> None:
    ended = await models(service)
    assert ended.code == 0, ended.err
    rows = [
        [word.strip() for word in line.split("  ") if word.strip()]
        for line in ended.out.splitlines()
    ]
    assert rows[0] == ["folder", "name", "family", "known by"]
    assert ["checkpoints", "sd_xl_base_1.0.ckpt", "sdxl", "its name"] in rows
    assert ["diffusion_models", "fast.safetensors", "z-image", "its header"] in rows
    assert ["vae", "ae.safetensors", "-", "-"] in rows


async def test_one_folder_is_listed(service: Service) -> None:
    found = await as_json(service, "--folder", "vae")
    assert [(one["folder"], one["name"]) for one in found] == [("vae", "ae.safetensors")]
    empty = await models(service, "--folder", "controlnet")
    assert (empty.code, empty.out) == (0, "")
    assert "no model files in models/controlnet" in empty.err
    wrong = await models(service, "--folder", "nope")
    assert wrong.code == 2
    assert "folder" in wrong.err


async def test_a_file_is_set_further_set_and_unset(service: Service) -> None:
    name = "odd.safetensors"
    ended = await models(service, "set", name, "--family", "z-image-turbo")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{name} is of the family Z-Image Turbo, by your setting.\n"

    more = "--text-encoder", "qwen_3_4b.safetensors", "--vae", "ae.safetensors"
    ended = await models(service, "set", name, *more)
    assert ended.out == (
        f"{name} is of the family Z-Image Turbo, by your setting.\n"
        "Text encoders: qwen_3_4b.safetensors\n"
        "VAE: ae.safetensors\n"
    )
    [found] = [one for one in await as_json(service) if one["name"] == name]
    assert found["setting"] == {
        "family": "z-image-turbo",
        "text_encoders": ["qwen_3_4b.safetensors"],
        "vae": "ae.safetensors",
    }

    taken_back = await as_json(service, "set", name, "--unset")
    assert (taken_back["family"], taken_back["setting"]) == (None, None)


async def test_a_name_in_two_folders_needs_the_folder(service: Service) -> None:
    ended = await models(service, "set", "twice.safetensors", "--family", "sdxl")
    assert ended.code == 2
    assert "in checkpoints, loras: say which with --folder" in ended.err

    set_ = await as_json(
        service, "set", "twice.safetensors", "--family", "sdxl", "--folder", "loras"
    )
    assert (set_["folder"], set_["family"]) == ("loras", "sdxl")
    await as_json(service, "set", "twice.safetensors", "--unset", "--folder", "loras")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("fast.safetensor", "--family", "sdxl"), "near matches: fast.safetensors"),
        (("fast.safetensors", "--family", "z-imag"), "near matches: z-image"),
        (("fast.safetensors", "--vae", "a.safetensors"), "near matches: ae.safetensors"),
        (("ae.safetensors", "--family", "sdxl"), "files of vae are of no family"),
        (("fast.safetensors",), "--unset"),
        (("fast.safetensors", "--unset", "--vae", "ae.safetensors"), "no other option"),
    ],
)
async def test_what_cannot_be_set_is_told(
    service: Service, arguments: tuple[str, ...], told: str
) -> None:
    ended = await models(service, "set", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in " ".join(ended.err.split())


async def test_an_api_that_is_away_is_told(tmp_path: Path) -> None:
    ended = await easel("models", "--api", closed_port(), home=tmp_path)
    assert ended.code == 3
    assert "easel up" in ended.err
