"""Model files: what workers found out, what the owner says, who has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from api.models.documents import ModelsDocument
from comfy import ComfyClient
from comfy.catalogue import FOLDERS
from comfy.emulator import Emulator, EmulatorOptions
from flows.models import look_at_models
from flows.testing import InProcessWorker
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import Backstage, Service, assert_problem, closed_port
from tests.comfy.families.files import ROWS, SDXL, prefixed, safetensors
from tests.harness.databases import a_store
from tests.harness.waiting import wait_until

MODELS: Final = "/api/v1/models"
INK: Final = "styles/ink & wash.safetensors"
WHOLE: Final = safetensors(prefixed("model.diffusion_model.", SDXL))
TOLD: Final = {
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_network_module": "networks.lora",
    "modelspec.trigger_phrase": "ink wash",
}


def filled(root: Path) -> Path:
    """A folder of model files."""
    for folder in (
        *("checkpoints", "diffusion_models", "loras/styles", "text_encoders", "vae"),
        "embeddings",
    ):
        (root / folder).mkdir(parents=True)
    (root / "checkpoints/plain.safetensors").write_bytes(WHOLE)
    (root / "diffusion_models/fast.safetensors").write_bytes(safetensors(ROWS["z-image"]))
    (root / "diffusion_models/odd.safetensors").write_bytes(safetensors({"odd": (1,)}))
    (root / "loras" / INK).write_bytes(safetensors({}, TOLD))
    for name in (
        *("checkpoints/sd_xl_base_1.0.ckpt", "text_encoders/qwen_3_4b.safetensors"),
        *("vae/ae.safetensors", "embeddings/negative.safetensors"),
    ):
        (root / name).write_bytes(b"")
    return root


@contextmanager
def comfyui(backstage: Backstage, root: Path) -> Iterator[str]:
    """An emulator over a folder; its URL."""
    emulator = Emulator(EmulatorOptions(models_dir=root))
    backstage.run(emulator.start())
    yield emulator.url
    backstage.run(emulator.stop())


@pytest.fixture(scope="module")
def comfy_url(backstage: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with comfyui(backstage, filled(tmp_path_factory.mktemp("models"))) as url:
        yield url


@pytest.fixture(scope="module")
def shared(
    backstage: Backstage, comfy_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """With a worker that has looked at its ComfyUI's files."""
    home = tmp_path_factory.mktemp("home")
    a_store(home / "easel.db")
    with Service(backstage, home, comfy_url, f"{closed_port()}/api") as service:
        until_catalogue(service)
        seen_by(service, "gpu-1", comfy_url)
        yield service


@pytest.fixture
def service(shared: Service, comfy_url: str) -> Iterator[Service]:
    """The shared one with a worker that lives; what a test says of files is taken back."""
    until_live(shared, **{"gpu-1": comfy_url})
    yield shared
    for each in listed(shared):
        if each["setting"] is not None:
            assert put(shared, each["folder"], each["name"]).status_code == 200


def seen_by(service: Service, name: str, comfy_url: str) -> None:
    appear(service, name, comfy_url)
    look(service, comfy_url)
    wait_until(lambda: name in one(service, "checkpoints", "plain.safetensors")["workers"])


def until_live(service: Service, **workers: str) -> None:
    """These workers, by name, have a ComfyUI each; a record of one counts for some seconds only."""

    def are_live() -> bool:
        for name, url in workers.items():
            appear(service, name, url)
        found = one(service, "checkpoints", "plain.safetensors")["workers"]
        return set(found) >= workers.keys()

    wait_until(are_live)


def appear(service: Service, name: str, comfy_url: str) -> None:
    worker = InProcessWorker(service.worker.store, name=name, comfy_url=comfy_url)
    service.worker.run(worker.appear())


def look(service: Service, comfy_url: str) -> None:
    """What a worker does every two minutes."""

    async def looked() -> None:
        client = ComfyClient(comfy_url)
        await look_at_models(service.worker.store, client)
        await client.aclose()

    service.worker.run(looked())


def listed(service: Service, **query: str) -> list[dict[str, Any]]:
    response = service.get(MODELS, params=query)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["models"]
    return found


def one(service: Service, folder: str, name: str) -> dict[str, Any]:
    found = [each for each in listed(service, folder=folder) if each["name"] == name]
    assert len(found) == 1, found
    return found[0]


def put(service: Service, folder: str, name: str, **body: Any) -> httpx.Response:
    return service.client.put(f"{MODELS}/{folder}/{name}", json=body)


def problems_of(response: httpx.Response) -> dict[tuple[str, ...], tuple[str, str]]:
    found = assert_problem(response, 422, "invalid_request")
    return {tuple(each["loc"]): (each["code"], each["message"]) for each in found["errors"]}


def test_every_file_of_every_folder_is_listed_with_what_is_known(service: Service) -> None:
    found = {(each["folder"], each["name"]): each for each in listed(service)}

    assert list(found) == [
        ("checkpoints", "plain.safetensors"),
        ("checkpoints", "sd_xl_base_1.0.ckpt"),
        ("diffusion_models", "fast.safetensors"),
        ("diffusion_models", "odd.safetensors"),
        ("text_encoders", "qwen_3_4b.safetensors"),
        ("vae", "ae.safetensors"),
        ("loras", INK),
        ("embeddings", "negative.safetensors"),
    ]
    assert found["checkpoints", "plain.safetensors"] == {
        "folder": "checkpoints",
        "name": "plain.safetensors",
        "family": "sdxl",
        "family_title": "SDXL",
        "reason": "header",
        "detail": found["checkpoints", "plain.safetensors"]["detail"],
        "traits": ["without_encoder", "without_vae"],
        "trigger_words": [],
        "workers": ["gpu-1"],
        "defaults": {
            "width": 1024,
            "height": 1024,
            "steps": 25,
            "cfg": 6.5,
            "sampler": "dpmpp_2m",
            "scheduler": "karras",
        },
        "setting": None,
    }
    lora = found["loras", INK]
    assert (lora["family"], lora["reason"], lora["defaults"]) == ("sdxl", "metadata", None)
    assert lora["trigger_words"] == ["ink wash"]
    odd = found["diffusion_models", "odd.safetensors"]
    assert (odd["family"], odd["family_title"], odd["reason"]) == (None, None, "unknown")


def test_a_folder_alone(service: Service) -> None:
    assert [each["name"] for each in listed(service, folder="loras")] == [INK]
    assert listed(service, folder="controlnet") == []
    assert len(service.get(MODELS, params={"folder": "vae"}).json()["checkpoints"]) == 2

    response = service.get(MODELS, params={"folder": "nope"})
    assert_problem(response, 422, "invalid_request")


def test_options_have_checkpoints_and_diffusion_models(service: Service) -> None:
    models = service.get("/api/v1/options").json()["models"]

    assert [(each["folder"], each["name"], each["family"]) for each in models] == [
        ("checkpoints", "plain.safetensors", "sdxl"),
        ("checkpoints", "sd_xl_base_1.0.ckpt", "sdxl"),
        ("diffusion_models", "fast.safetensors", "z-image"),
        ("diffusion_models", "odd.safetensors", None),
    ]
    assert models[2]["family_title"] == "Z-Image"
    assert models[2]["defaults"]["steps"] == 25
    assert models[3]["defaults"] is None


def test_the_owner_says_what_a_file_is_and_takes_it_back(service: Service) -> None:
    before = one(service, "diffusion_models", "odd.safetensors")
    body = {
        "family": "z-image-turbo",
        "text_encoders": ["qwen_3_4b.safetensors"],
        "vae": "ae.safetensors",
    }
    response = put(service, "diffusion_models", "odd.safetensors", **body)

    assert response.status_code == 200, response.text
    said = one(service, "diffusion_models", "odd.safetensors")
    assert response.json() == said
    assert (said["family"], said["reason"]) == ("z-image-turbo", "setting")
    assert said["setting"] == body
    assert said["defaults"]["steps"] == 8
    assert service.get("/api/v1/options").json()["models"][3]["family"] == "z-image-turbo"

    vae_alone = put(service, "diffusion_models", "odd.safetensors", vae="ae.safetensors").json()
    assert (vae_alone["family"], vae_alone["reason"]) == (None, "unknown")
    assert vae_alone["setting"] == {"family": None, "text_encoders": None, "vae": "ae.safetensors"}

    assert put(service, "diffusion_models", "odd.safetensors", family=None).json() == before
    assert one(service, "diffusion_models", "odd.safetensors") == before


def test_a_name_may_have_folders_and_any_characters(service: Service) -> None:
    response = service.client.put(
        f"{MODELS}/loras/styles/ink%20%26%20wash.safetensors", json={"family": "flux1"}
    )

    assert response.status_code == 200, response.text
    assert response.json()["name"] == INK
    said = one(service, "loras", INK)
    assert (said["family"], said["family_title"]) == ("flux1", "Flux.1")
    assert (said["reason"], said["defaults"]) == ("setting", None)


def test_a_lora_is_set_to_the_base_of_a_family(service: Service) -> None:
    said = put(service, "loras", INK, family="sdxl-pony").json()
    assert (said["family"], said["reason"]) == ("sdxl", "setting")


def test_an_unknown_family_is_answered_with_near_ones(service: Service) -> None:
    wrong = problems_of(put(service, "checkpoints", "plain.safetensors", family="sdxl-pone"))
    code, message = wrong["family",]
    assert code == "unknown_family"
    assert "near matches: sdxl-pony" in message
    # A base is no family of models.
    wrong = problems_of(put(service, "checkpoints", "plain.safetensors", family="flux1"))
    assert "flux1-dev" in wrong["family",][1]
    wrong = problems_of(put(service, "loras", INK, family="fulx1"))
    assert "near matches: flux1" in wrong["family",][1]
    assert one(service, "checkpoints", "plain.safetensors")["setting"] is None


def test_files_that_no_comfyui_has_are_not_taken_beside_a_model(service: Service) -> None:
    wrong = problems_of(
        put(
            service,
            "checkpoints",
            "plain.safetensors",
            text_encoders=["qwen_3_4b.safetensors", "qwen_3_4.safetensors"],
            vae="as.safetensors",
        )
    )
    assert wrong["text_encoders",][0] == "unknown_model"
    assert "near matches: qwen_3_4b.safetensors" in wrong["text_encoders",][1]
    assert "near matches: ae.safetensors" in wrong["vae",][1]


def test_what_a_folder_does_not_take(service: Service) -> None:
    assert problems_of(put(service, "loras", INK, vae="ae.safetensors"))["vae",][0] == "not_taken"
    wrong = problems_of(put(service, "vae", "ae.safetensors", family="sdxl"))
    assert wrong["family",][0] == "not_taken"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("checkpoints", "nope.safetensors"),
        ("checkpoints", INK),
        ("nope", "plain.safetensors"),
        ("checkpoints", "../checkpoints/plain.safetensors"),
    ],
)
def test_only_files_that_are_listed_can_be_set(service: Service, folder: str, name: str) -> None:
    quoted = name.replace("..", "%2e%2e").replace("/", "%2F")
    response = service.client.put(f"{MODELS}/{folder}/{quoted}", json={"family": "sdxl"})
    assert_problem(response, 404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        {"families": "sdxl"},
        {"family": 1},
        {"family": ""},
        {"text_encoders": "a"},
        {"text_encoders": []},
        {"text_encoders": ["a"] * 5},
        {"vae": "a" * 256},
    ],
)
def test_bodies_that_make_no_sense(service: Service, body: dict[str, Any]) -> None:
    response = service.client.put(f"{MODELS}/checkpoints/plain.safetensors", json=body)
    assert_problem(response, 422, "invalid_request")


def test_each_worker_has_the_files_of_its_own_comfyui(
    start_service: StartService, backstage: Backstage, comfy_url: str, tmp_path: Path
) -> None:
    (tmp_path / "other/checkpoints").mkdir(parents=True)
    for name in ("plain.safetensors", "theirs.safetensors"):
        (tmp_path / "other/checkpoints" / name).write_bytes(WHOLE)
    service = start_service(comfy_url)
    until_catalogue(service)
    seen_by(service, "gpu-1", comfy_url)
    with comfyui(backstage, tmp_path / "other") as other_url:
        seen_by(service, "gpu-2", other_url)
        until_live(service, **{"gpu-1": comfy_url, "gpu-2": other_url})

    found = {each["name"]: each["workers"] for each in listed(service, folder="checkpoints")}
    assert found == {
        "plain.safetensors": ["gpu-1", "gpu-2"],
        "sd_xl_base_1.0.ckpt": ["gpu-1"],
        "theirs.safetensors": ["gpu-2"],
    }


def test_without_a_worker_files_are_known_by_their_names(
    start_service: StartService, comfy_url: str
) -> None:
    service = start_service(comfy_url)
    until_catalogue(service)

    found = one(service, "checkpoints", "sd_xl_base_1.0.ckpt")
    assert (found["family"], found["reason"], found["workers"]) == ("sdxl", "name", [])
    assert [each["name"] for each in listed(service, folder="embeddings")] == ["negative"]

    # The owner's word needs no worker, and outlives the API.
    assert put(service, "checkpoints", "plain.safetensors", family="sd15").status_code == 200
    again = start_service(comfy_url)
    until_catalogue(again)
    found = one(again, "checkpoints", "plain.safetensors")
    assert (found["family"], found["reason"]) == ("sd15", "setting")


def test_resolving_has_what_is_known_at_hand(service: Service) -> None:
    put(service, "checkpoints", "plain.safetensors", vae="ae.safetensors")
    known = service.app.state.context.facade.models.current

    model = known.find("plain.safetensors")
    assert (model.family, model.reason, model.vae) == ("sdxl", "header", "ae.safetensors")
    assert known.find("fast.safetensors").folder == "diffusion_models"


def test_the_folders_are_those_of_the_catalogue(service: Service) -> None:
    openapi = service.get("/openapi.json").json()
    [query] = openapi["paths"][MODELS]["get"]["parameters"]
    assert query["schema"]["pattern"] == f"^({'|'.join(FOLDERS)})$"


def test_what_is_kept_of_the_answer_follows_every_change(
    start_service: StartService, backstage: Backstage, tmp_path: Path
) -> None:
    (tmp_path / "own/checkpoints").mkdir(parents=True)
    (tmp_path / "other/checkpoints").mkdir(parents=True)
    plain = tmp_path / "own/checkpoints/plain.safetensors"
    plain.write_bytes(WHOLE)
    with (
        comfyui(backstage, tmp_path / "own") as own_url,
        comfyui(backstage, tmp_path / "other") as other_url,
    ):
        service = start_service(own_url)
        until_catalogue(service)
        seen_by(service, "gpu-1", own_url)
        assert one(service, "checkpoints", plain.name)["family"] == "sdxl"

        # The file becomes another one, which the worker sees.
        plain.write_bytes(safetensors(ROWS["z-image"]))
        look(service, own_url)
        wait_until(lambda: one(service, "checkpoints", plain.name)["family"] == "z-image")
        assert listed(service) == listed(service, folder="checkpoints")

        # The owner says more of it.
        put(service, "checkpoints", plain.name, family="sd15")
        assert one(service, "checkpoints", plain.name)["reason"] == "setting"
        assert listed(service)[0]["family"] == "sd15"

        # Another file comes, which ComfyUI tells before any worker has looked at it.
        (tmp_path / "own/checkpoints/sd_xl_base_1.0.ckpt").write_bytes(b"")
        backstage.run(service.app.state.context.models.look_again())
        wait_until(lambda: len(listed(service)) == 2)
        assert one(service, "checkpoints", "sd_xl_base_1.0.ckpt")["workers"] == []

        # The worker gets another ComfyUI, which has none of them.
        appear(service, "gpu-1", other_url)
        look(service, other_url)
        wait_until(lambda: one(service, "checkpoints", plain.name)["workers"] == [])


def test_the_answer_is_built_once_as_long_as_nothing_changes(
    service: Service, backstage: Backstage, comfy_url: str
) -> None:
    models = service.app.state.context.models

    async def twice() -> tuple[ModelsDocument, ModelsDocument]:
        return await models.all("checkpoints"), await models.all("checkpoints")

    def is_shared() -> bool:
        until_live(service, **{"gpu-1": comfy_url})
        first, second = backstage.run(twice())
        return first is second

    wait_until(is_shared)
