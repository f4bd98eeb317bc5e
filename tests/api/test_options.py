"""Models and options: what ComfyUI offers, and what goes with it."""

from __future__ import annotations

from comfy.emulator.recorded import recorded
from comfy.emulator.release import Release
from core import fields
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import CHECKPOINTS, Comfy, Service, assert_problem
from tests.harness.waiting import wait_until


def test_models(service: Service) -> None:
    document = service.get("/api/v1/models").json()

    checkpoints = document["checkpoints"]
    assert [model["name"] for model in checkpoints] == list(CHECKPOINTS)
    assert [model["family"] for model in checkpoints] == ["sd15", "sdxl"]
    assert document["loras"] == ["emulator-lora.safetensors"]
    assert document["embeddings"] == ["emulator-negative"]
    assert document["vaes"] == document["upscalers"] == []
    assert document["default"] == CHECKPOINTS[0]


def test_the_defaults_that_are_shown_are_those_that_are_used(service: Service) -> None:
    for model in service.get("/api/v1/models").json()["checkpoints"]:
        request = service.create(model=model["name"])["request"]
        assert {name: request[name] for name in model["defaults"]} == model["defaults"]


def test_options(service: Service) -> None:
    document = service.get("/api/v1/options").json()

    assert document["models"] == service.get("/api/v1/models").json()["checkpoints"]
    assert document["default_model"] == CHECKPOINTS[0]
    sampler = recorded(Release.of("0.33.0"))["KSampler"]["input"]["required"]
    assert sorted(document["samplers"]) == sorted(sampler["sampler_name"][0])
    assert sorted(document["schedulers"]) == sorted(sampler["scheduler"][0])


def test_the_limits_that_are_shown_are_those_that_hold(service: Service) -> None:
    limits = service.get("/api/v1/options").json()["limits"]

    assert limits["seed_max"] == 2**53 - 1
    assert limits["prompt_max"] == fields.PROMPT_MAX
    most = {
        "width": limits["size_max"],
        "height": limits["size_min"],
        "steps": limits["steps_max"],
        "cfg": limits["cfg_max"],
        "seed": limits["seed_max"],
        "timeout_s": limits["timeout_max_s"],
        "batch_size": limits["batch_size_max"],
    }
    request = service.create(**most)["request"]
    assert {name: request[name] for name in most} == most
    size_step = limits["size_step"]
    stepped = service.create(width=limits["size_min"] + size_step)["request"]
    assert stepped["width"] == limits["size_min"] + size_step
    for beyond in (
        {"width": limits["size_max"] + size_step},
        {"height": limits["size_min"] - size_step},
        {"width": limits["size_min"] + size_step // 2},
        {"steps": limits["steps_max"] + 1},
        {"cfg": limits["cfg_max"] + 0.5},
        {"seed": limits["seed_max"] + 1},
        {"timeout_s": limits["timeout_max_s"] + 1},
        {"batch_size": limits["batch_size_max"] + 1},
    ):
        response = service.client.post("/api/v1/generation/create", json={"prompt": "x", **beyond})
        assert_problem(response, 422, "invalid_request")


def test_nothing_is_known_before_comfyui_was_reached(start_service: StartService) -> None:
    service = start_service()
    for path in ("/api/v1/models", "/api/v1/options"):
        response = service.get(path)
        assert_problem(response, 503, "no_catalogue")
        assert int(response.headers["retry-after"]) >= 1


def test_a_catalogue_that_a_worker_read_again_is_taken_over(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    kept = {"checkpoints": [CHECKPOINTS[1]]}
    service.worker.run(service.worker.store.registry.keep_catalogue(comfy.url, kept))

    def names() -> list[str]:
        return [model["name"] for model in service.get("/api/v1/models").json()["checkpoints"]]

    wait_until(lambda: names() == [CHECKPOINTS[1]], within=40)  # ComfyUI is asked after 60 s
