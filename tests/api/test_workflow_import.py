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

from api.workflows.documents import exported
from comfy.nodes import NodeCatalogue
from core.workflows.declaration import Workflow
from tests.api.conftest import StartService
from tests.api.service import (
    BATCHES,
    CHECKPOINTS,
    CREATE,
    Comfy,
    Service,
    assert_problem,
    closed_port,
)
from tests.comfy.data import PAID, PAID_GRAPH
from tests.comfy.importing.workflows import node, socket, ui
from tests.harness.waiting import wait_until

EXPORTED_PAID: Final = exported(PAID)
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


@pytest.mark.parametrize("form", ["ComfyUI's", "Easel's"])
def test_what_was_imported_while_paid_nodes_were_allowed(
    start_service: StartService, comfy: Comfy, form: str
) -> None:
    file = PAID_GRAPH if form == "ComfyUI's" else EXPORTED_PAID
    before = start_service(comfy.url, paid_nodes=True)
    wait_until(lambda: added(before, file, dry_run=True).status_code == 200)
    one = declared(added(before, file))
    assert one["state"] == "ready"
    assert before.client.post(CREATE, json={"workflow": one["name"]}).status_code == 202

    now = start_service(comfy.url)

    assert_problem(added(now, file), 422, "paid_nodes")
    shown = now.get(f"{WORKFLOWS}/{one['name']}").json()
    assert shown["state"] == "needs_attention"
    assert "by FluxProUltraImageNode; EASEL_COMFY__PAID_NODES=true" in shown["lacks"][0]
    refused = now.client.post(CREATE, json={"workflow": one["name"]})
    assert_problem(refused, 422, "paid_nodes")
    assert "FluxProUltraImageNode" in refused.json()["detail"]
    batch = {"defaults": {"workflow": one["name"]}, "items": [{}, {}]}
    answered = now.client.post(BATCHES, json=batch)
    assert_problem(answered, 422, "invalid_manifest")
    assert {each["code"] for each in answered.json()["errors"]} == {"paid_nodes"}


def test_classes_that_are_known_as_paid_only_later(
    start_service: StartService, comfy: Comfy
) -> None:
    """It is not said to be paid, and no ComfyUI was reached when it was imported."""
    untold = {key: value for key, value in EXPORTED_PAID.items() if key != "requires"}
    name = declared(added(start_service(), untold))["name"]

    service = start_service(comfy.url)

    url = f"{WORKFLOWS}/{name}"
    wait_until(lambda: service.get(url).json()["state"] == "needs_attention")
    assert_problem(service.client.post(CREATE, json={"workflow": name}), 422, "paid_nodes")


def test_what_says_that_it_is_paid_is_refused_before_comfyui_was_reached(
    start_service: StartService,
) -> None:
    assert_problem(added(start_service(), EXPORTED_PAID), 422, "paid_nodes")


KEY: Final = "sk-proj-aB3dE6gH9jK2mN5pQ8sT1vW4"
PROMPT: Final = "a fox, password protected, token of love"
KEYED: Final[dict[str, Any]] = {
    **GRAPH,
    "1": {"class_type": "EmptyImage", "inputs": {**GRAPH["1"]["inputs"], "api_key": "zx81canary",
                                                 "headers": f"X-Key: {KEY}", "text": PROMPT}},
}  # fmt: skip
"""Its nodes hold keys."""
EXPORTED_KEYED: Final[dict[str, Any]] = {
    "easel_workflow": 1,
    "name": "keyed",
    "title": "Keyed",
    "description": f"Use {KEY} for it.",
    "inputs": [
        {"name": "key", "type": "text", "default": "zx81canary",
         "targets": [{"node": "1", "field": "api_key"}]},
        {"name": "other", "type": "text", "default": KEY},
        {"name": "prompt", "type": "text", "default": PROMPT,
         "targets": [{"node": "1", "field": "text"}]},
    ],
    "requires": {"models": [{"folder": "loras", "name": "fox.safetensors",
                             "url": "https://example.org/1?token=zx81canary"}]},
    "graph": KEYED,
    "ui": {"nodes": [{"id": 1, "widgets_values": ["zx81canary", f"X-Key: {KEY}", PROMPT]}]},
}  # fmt: skip


@pytest.mark.parametrize("file", [KEYED, EXPORTED_KEYED], ids=["ComfyUI's", "Easel's"])
def test_keys_in_a_file_are_left_out_and_told(service: Service, file: dict[str, Any]) -> None:
    answered = added(service, file)

    one = declared(answered)
    told = answered.json()["warnings"]
    for field in ("api_key", "headers"):
        assert any(f"{field} of EmptyImage held a key or a token" in each for each in told)
    assert not any("text of EmptyImage held" in each for each in told)
    exported = service.get(f"{WORKFLOWS}/{one['name']}/export").text
    for text in (answered.text, exported):
        assert KEY not in text
        assert "zx81canary" not in text
    assert PROMPT in exported
    assert json.loads(exported)["graph"]["1"]["inputs"]["headers"] == "X-Key: "
    with service.database() as database:
        stored = "".join(database.iterdump())
    assert one["name"] in stored
    assert KEY not in stored
    assert "zx81canary" not in stored


def test_keys_in_a_change_are_left_out(service: Service) -> None:
    one = declared(added(service, GRAPH))
    path = f"{WORKFLOWS}/{one['name']}"

    answered = service.client.put(
        path,
        json={
            "title": f"Fox {KEY}",
            "description": f"Use {KEY} for it.",
            "inputs": [
                {"name": "api_key", "type": "text", "default": "zx81canary"},
                {"name": "prompt", "type": "text", "default": PROMPT},
            ],
        },
        headers={"If-Match": f'"{one["version"]}"'},
    )

    assert answered.status_code == 200, answered.text
    assert answered.headers["etag"] == f'"{answered.json()["version"]}"'
    assert [each["default"] for each in answered.json()["inputs"]] == [None, PROMPT]
    with service.database() as database:
        stored = "".join(database.iterdump())
    for text in (answered.text, service.get(path).text, stored):
        assert KEY not in text
        assert "zx81canary" not in text


def test_an_export_has_no_key_that_was_stored() -> None:
    stored = Workflow.model_validate(
        {key: value for key, value in EXPORTED_KEYED.items() if key != "easel_workflow"}
    )

    told = exported(stored)

    assert KEY not in str(told)
    assert "zx81canary" not in str(told)
    assert told["graph"]["1"]["inputs"]["text"] == PROMPT


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
