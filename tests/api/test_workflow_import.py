"""Files of ComfyUI as workflows: what is proposed, what is told, what is refused."""

from __future__ import annotations

import importlib.util
import io
import json
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from PIL import Image, PngImagePlugin

from comfy.nodes import NodeCatalogue
from tests.api.conftest import StartService
from tests.api.service import CHECKPOINTS, CREATE, Service, assert_problem, closed_port
from tests.comfy.importing.workflows import node, socket, ui
from tests.harness.waiting import wait_until

WORKFLOWS: Final = "/api/v1/workflows"
PAGE: Final[dict[str, Any]] = ui(
    [
        node(1, "CheckpointLoaderSimple", [CHECKPOINTS[0]], outputs=["MODEL", "CLIP", "VAE"]),
        node(2, "CLIPTextEncode", ["a fox"], [socket("clip", "CLIP", 1)], ["CONDITIONING"]),
        node(3, "CLIPTextEncode", ["blurry"], [socket("clip", "CLIP", 2)], ["CONDITIONING"]),
        node(4, "EmptyLatentImage", [512, 384, 1], outputs=["LATENT"]),
        node(
            5,
            "KSampler",
            [7, "randomize", 20, 8, "euler", "normal", 1],
            [
                socket("model", "MODEL", 3),
                socket("positive", "CONDITIONING", 4),
                socket("negative", "CONDITIONING", 5),
                socket("latent_image", "LATENT", 6),
            ],
            ["LATENT"],
        ),
        node(
            6,
            "VAEDecode",
            [],
            [socket("samples", "LATENT", 7), socket("vae", "VAE", 8)],
            ["IMAGE"],
        ),
        node(7, "SaveImage", ["ComfyUI"], [socket("images", "IMAGE", 9)]),
        node(8, "Note", ["not for the machine"]),
    ],
    [
        [1, 1, 1, 2, 0, "CLIP"],
        [2, 1, 1, 3, 0, "CLIP"],
        [3, 1, 0, 5, 0, "MODEL"],
        [4, 2, 0, 5, 1, "CONDITIONING"],
        [5, 3, 0, 5, 2, "CONDITIONING"],
        [6, 4, 0, 5, 3, "LATENT"],
        [7, 5, 0, 6, 0, "LATENT"],
        [8, 1, 2, 6, 1, "VAE"],
        [9, 6, 0, 7, 0, "IMAGE"],
    ],
)
"""A workflow as ComfyUI's page saves it."""
GRAPH: Final[dict[str, Any]] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1,
                                                 "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
}  # fmt: skip


def own_name() -> str:
    return f"own-{uuid4().hex[:12]}"


def added(service: Service, file: Any, **query: Any) -> httpx.Response:
    data = file if isinstance(file, bytes) else json.dumps(file).encode()
    return service.client.post(WORKFLOWS, content=data, params={"name": own_name(), **query})


def declared(answered: httpx.Response) -> dict[str, Any]:
    assert answered.status_code == 201, answered.text
    declaration: dict[str, Any] = answered.json()["declaration"]
    return declaration


def test_a_workflow_of_the_page_has_inputs_by_role(service: Service) -> None:
    answered = added(service, PAGE, filename="a fox.json")

    one = declared(answered)
    assert one["title"] == "a fox"
    assert {"prompt", "negative_prompt", "seed", "width", "height"} <= set(one["roles"])
    assert one["outputs"][0]["kind"] == "image"
    assert (one["state"], one["lacks"]) == ("ready", [])
    assert one["origin"]["kind"] == "ui"
    assert one["origin"]["file"] == "a fox.json"
    assert len(one["origin"]["sha256"]) == 64
    assert [each["node_class"] for each in answered.json()["dropped"]] == ["Note"]
    made = service.client.post(CREATE, json={"workflow": one["name"], "prompt": "an owl"})
    assert made.status_code == 202
    assert made.json()["request"]["prompt"] == "an owl"
    assert made.json()["request"]["width"] == 512


def test_without_a_name_it_takes_a_free_one_of_the_file(service: Service) -> None:
    file = json.dumps(PAGE).encode()
    query = {"filename": f"Fox {uuid4().hex[:8]}.json"}

    first = service.client.post(WORKFLOWS, content=file, params=query)
    second = service.client.post(WORKFLOWS, content=file, params=query)

    assert declared(second)["name"] == f"{declared(first)['name']}-2"
    assert declared(first)["name"].startswith("fox-")


def test_a_picture_carries_its_workflow(service: Service) -> None:
    told = PngImagePlugin.PngInfo()
    told.add_text("prompt", json.dumps(GRAPH))
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=told)

    answered = service.client.post(
        WORKFLOWS, files={"file": ("plain.png", file.getvalue())}, params={"name": own_name()}
    )

    one = declared(answered)
    assert one["origin"]["file"] == "plain.png"
    assert one["origin"]["kind"] == "api"


def test_fields_can_be_named_as_inputs(service: Service) -> None:
    one = declared(added(service, GRAPH, input=["1.color=shade", "1.width=wide"], title="Plain"))

    assert one["title"] == "Plain"
    assert {"shade", "wide"} <= {each["name"] for each in one["inputs"]}
    unknown = added(service, GRAPH, input="9.color=shade")
    assert_problem(unknown, 422, "invalid_request")
    assert unknown.json()["errors"][0]["code"] == "unknown_node"


def test_what_comfyui_lacks_is_told(service: Service) -> None:
    graph = {**GRAPH, "3": {"class_type": "ZX81", "inputs": {"image": ["1", 0]}}}
    graph["4"] = {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": ""}}

    answered = added(service, graph)

    one = declared(answered)
    assert (one["state"], one["lacks"]) == ("missing_nodes", ["ZX81"])
    assert answered.json()["missing"]["nodes"][0]["node_class"] == "ZX81"
    refused = service.client.post(CREATE, json={"workflow": one["name"]})
    assert_problem(refused, 422, "invalid_request")
    assert refused.json()["errors"][0]["code"] == "missing_nodes"
    assert "ZX81" in refused.json()["detail"]
    path = f"{WORKFLOWS}/{one['name']}"
    etag = service.get(path).headers["etag"]
    changed = service.client.put(path, json={"title": "Other"}, headers={"If-Match": etag})
    assert changed.status_code == 200


def test_missing_models_are_told_and_refused(service: Service) -> None:
    file = json.loads(json.dumps(PAGE).replace(CHECKPOINTS[0], "absent.safetensors"))

    answered = added(service, file)

    one = declared(answered)
    assert (one["state"], one["lacks"]) == ("missing_models", ["absent.safetensors"])
    [model] = answered.json()["missing"]["models"]
    assert (model["name"], model["folder"]) == ("absent.safetensors", "checkpoints")
    refused = service.client.post(CREATE, json={"workflow": one["name"]})
    assert_problem(refused, 422, "invalid_request")
    main = one["roles"]["model"]
    other = service.client.post(CREATE, json={"workflow": one["name"], main: CHECKPOINTS[1]})
    assert other.status_code == 202


def test_values_are_checked_against_comfyui(service: Service) -> None:
    one = declared(added(service, PAGE))

    for wrong, code in (({"sampler": "zx81"}, "unknown_choice"), ({"cfg": 1000}, None)):
        name = one["roles"].get(next(iter(wrong)))
        answered = service.client.post(
            CREATE, json={"workflow": one["name"], name: next(iter(wrong.values()))}
        )
        assert_problem(answered, 422, "invalid_request")
        assert code in (None, answered.json()["errors"][0]["code"])


def test_choices_are_those_of_now(service: Service) -> None:
    one = declared(added(service, PAGE))

    found = service.get(f"{WORKFLOWS}/{one['name']}/choices").json()["inputs"]

    assert found[one["roles"]["model"]] == list(CHECKPOINTS)
    assert "euler" in found[one["roles"]["sampler"]]
    assert_problem(service.get(f"{WORKFLOWS}/zx81/choices"), 404, "not_found")


def test_a_cycle_says_where(service: Service) -> None:
    graph = {
        "1": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": GRAPH["2"],
    }

    answered = added(service, graph)

    assert_problem(answered, 422, "invalid_workflow")
    assert answered.json()["errors"][0]["code"] == "cycle"
    assert answered.json()["errors"][0]["loc"]


def test_while_no_comfyui_was_reached_nothing_is_imported(start_service: StartService) -> None:
    service = start_service()

    assert_problem(added(service, PAGE), 503, "no_catalogue")
    assert_problem(added(service, b"canary"), 422, "invalid_workflow")
    assert_problem(service.get(f"{WORKFLOWS}/txt2img/choices"), 503, "no_catalogue")


def test_what_comfyui_offers_can_be_imported(service: Service) -> None:
    offered = service.get(f"{WORKFLOWS}/sources").json()["items"]

    if importlib.util.find_spec("comfyui_workflow_templates_json") is None:
        pytest.skip("the official templates' package is not installed")
    source = "template:image_z_image_turbo"
    assert source in [each["source"] for each in offered]
    body = {"source": source}
    answered = service.client.post(WORKFLOWS, json=body, params={"dry_run": True})
    assert answered.status_code == 200, answered.text
    assert answered.json()["declaration"]["state"] == "missing_models"
    assert answered.json()["declaration"]["origin"]["source"] == source
    assert answered.json()["declaration"]["title"] == "Z-Image-Turbo: Text to Image"
    assert answered.json()["declaration"]["name"].startswith("image-z-image-turbo")
    assert all(each["url"] for each in answered.json()["missing"]["models"])
    titled = service.client.post(WORKFLOWS, json=body, params={"dry_run": True, "title": "Mine"})
    assert titled.json()["declaration"]["title"] == "Mine"
    for absent in ("template:zx81", "zx81", "template:../index", "blueprint:zx81", "saved:zx81"):
        assert_problem(
            service.client.post(WORKFLOWS, json={"source": absent}), 422, "unknown_source"
        )


def test_paid_nodes_are_refused_by_name(service: Service) -> None:
    if importlib.util.find_spec("comfyui_workflow_templates_json") is None:
        pytest.skip("the official templates' package is not installed")

    answered = service.client.post(WORKFLOWS, json={"source": "template:api_wan_text_to_image"})

    assert_problem(answered, 422, "paid_nodes")
    assert "WanTextToImageApi" in answered.json()["detail"]


def test_the_node_classes_outlive_comfyui(service: Service, start_service: StartService) -> None:
    """A service whose ComfyUI is away knows what the store has of it."""
    one = start_service(service.settings.comfy.url)
    wait_until(lambda: added(one, PAGE, dry_run=True).status_code == 200)

    again = start_service()

    assert declared(added(again, PAGE))["state"] == "ready"


def test_a_comfyui_that_is_used_no_more_does_not_count(
    service: Service, start_service: StartService
) -> None:
    one = start_service(service.settings.comfy.url)
    wait_until(lambda: added(one, PAGE, dry_run=True).status_code == 200)
    url = declared(added(one, PAGE))["url"].removeprefix(one.url)
    other = NodeCatalogue.from_object_info({"Other": {"input": {}, "output": []}})
    one.worker.keep_nodes(closed_port(), other)

    again = start_service(closed_port())

    assert again.get(url).json()["state"] == "missing_nodes"


def test_a_workflow_saved_on_the_page_is_offered(service: Service) -> None:
    name = f"fox {uuid4().hex[:8]}.json"
    path = quote(f"workflows/{name}", safe="")
    saved = httpx.post(f"{service.settings.comfy.url}/userdata/{path}", json=PAGE)
    assert saved.status_code == 200

    offered = service.get(f"{WORKFLOWS}/sources").json()["items"]

    assert f"saved:{name}" in [each["source"] for each in offered]
    one = declared(
        service.client.post(
            WORKFLOWS, json={"source": f"saved:{name}"}, params={"name": own_name()}
        )
    )
    assert one["origin"]["source"] == f"saved:{name}"
    assert "prompt" in one["roles"]


def test_large_files_are_refused_before_they_are_read(service: Service) -> None:
    many = {str(number): GRAPH["1"] for number in range(20_001)}

    answered = added(service, many)

    assert_problem(answered, 422, "invalid_workflow")
    assert answered.json()["errors"][0]["code"] == "too_many_nodes"
