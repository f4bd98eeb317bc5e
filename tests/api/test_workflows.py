"""Workflows as clients see them: listed, imported, exported, changed, removed."""

from __future__ import annotations

import copy
import json
from typing import Any, Final
from uuid import uuid4

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest

from tests.api.service import CREATE, HISTORY, Service, assert_problem

WORKFLOWS: Final = "/api/v1/workflows"
COLOUR: Final[dict[str, Any]] = {
    "easel_workflow": 1,
    "name": "colour",
    "title": "A colour",
    "inputs": [
        {
            "name": "width",
            "type": "integer",
            "role": "width",
            "default": 512,
            "minimum": 16,
            "maximum": 4096,
            "targets": [{"node": "1", "field": "width"}],
        },
        {
            "name": "shade",
            "type": "choice",
            "choices": [255, 65280],
            "default": 255,
            "targets": [{"node": "1", "field": "color"}],
        },
    ],
    "outputs": [{"node": "2", "kind": "image", "name": "image", "primary": True}],
    "graph": {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": 255},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
    },
}


def file_of(**changed: Any) -> dict[str, Any]:
    """Returns a workflow's file, under a name of its own."""
    return {**copy.deepcopy(COLOUR), "name": f"colour-{uuid4().hex[:12]}", **changed}


def imported(service: Service, **changed: Any) -> dict[str, Any]:
    answered = service.client.post(WORKFLOWS, json=file_of(**changed))
    assert answered.status_code == 201, answered.text
    declaration: dict[str, Any] = answered.json()["declaration"]
    return declaration


def changed(service: Service, declaration: dict[str, Any], **wanted: Any) -> httpx.Response:
    headers = {"If-Match": f'"{declaration["version"]}"'}
    return service.client.put(f"{WORKFLOWS}/{declaration['name']}", json=wanted, headers=headers)


def test_the_built_in_workflow_comes_first(service: Service) -> None:
    one = imported(service)

    listed = service.get(WORKFLOWS).json()["items"]

    assert (listed[0]["name"], listed[0]["built_in"], listed[0]["kind"]) == (
        "txt2img",
        True,
        "image",
    )
    assert listed[0]["roles"]["prompt"] == "prompt"
    assert [each for each in listed if each["name"] == one["name"]] == [one]
    assert not one["built_in"]


def test_a_workflow_has_the_schema_of_its_inputs(service: Service) -> None:
    one = imported(service)

    found = service.get(f"{WORKFLOWS}/{one['name']}")

    assert found.json() == one
    assert found.headers["etag"] == f'"{one["version"]}"'
    assert one["schema"]["properties"]["width"]["maximum"] == 4096
    assert one["schema"]["properties"]["shade"]["enum"] == [255, 65280]
    assert one["url"] == f"{service.url}{WORKFLOWS}/{one['name']}"
    unchanged = service.get(
        f"{WORKFLOWS}/{one['name']}", headers={"If-None-Match": found.headers["etag"]}
    )
    assert unchanged.status_code == 304


def test_the_schema_is_of_a_request(service: Service) -> None:
    one = imported(service)
    schema = service.get(f"{WORKFLOWS}/{one['name']}/schema").json()

    jsonschema.validate({"workflow": one["name"], "width": 64, "priority": "bulk"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"width": 8}, schema)
    assert schema["properties"]["workflow"]["default"] == one["name"]


def test_a_file_that_was_exported_is_imported_again(service: Service) -> None:
    one = imported(service)

    exported = service.get(f"{WORKFLOWS}/{one['name']}/export")

    assert f'filename="{one["name"]}.json"' in exported.headers["content-disposition"]
    again = service.client.post(
        WORKFLOWS, params={"name": f"{one['name']}-2"}, content=exported.content
    )
    assert again.status_code == 201
    assert again.headers["location"] == again.json()["declaration"]["url"]
    for same in ("title", "inputs", "outputs", "roles", "requires"):
        assert again.json()["declaration"][same] == one[same]
    assert exported.json()["graph"] == COLOUR["graph"]


def test_a_dry_run_keeps_nothing(service: Service) -> None:
    file = file_of()

    answered = service.client.post(WORKFLOWS, params={"dry_run": True}, json=file)

    assert answered.status_code == 200
    assert answered.json()["declaration"]["name"] == file["name"]
    assert_problem(service.get(f"{WORKFLOWS}/{file['name']}"), 404, "not_found")


def test_a_name_in_use_is_refused(service: Service) -> None:
    one = imported(service)

    for name in (one["name"], "txt2img", "sources"):
        answered = service.client.post(WORKFLOWS, json=file_of(name=name))
        assert_problem(answered, 409, "workflow_exists")
    dry = service.client.post(WORKFLOWS, params={"dry_run": True}, json=file_of(name=one["name"]))
    assert_problem(dry, 409, "workflow_exists")


def test_a_change_is_a_new_version(service: Service) -> None:
    one = imported(service)

    answered = changed(service, one, title="Colours", inputs=[])

    assert answered.status_code == 200
    after = answered.json()
    assert (after["title"], after["inputs"]) == ("Colours", [])
    assert after["outputs"] == one["outputs"]
    assert after["version"] != one["version"]
    assert answered.headers["etag"] == f'"{after["version"]}"'
    assert service.get(f"{WORKFLOWS}/{one['name']}").json() == after


def test_a_change_says_of_which_version(service: Service) -> None:
    one = imported(service)
    path = f"{WORKFLOWS}/{one['name']}"

    unsaid = service.client.put(path, json={"title": "Colours"})
    assert_problem(unsaid, 428, "precondition_required")
    assert changed(service, one, title="Colours").status_code == 200
    assert_problem(changed(service, one, title="Shades"), 412, "precondition_failed")
    assert service.get(path).json()["title"] == "Colours"


def test_a_built_in_workflow_stays_as_it_is(service: Service) -> None:
    txt2img = service.get(f"{WORKFLOWS}/txt2img").json()

    assert_problem(changed(service, txt2img, title="Mine"), 409, "workflow_built_in")
    assert_problem(service.client.delete(f"{WORKFLOWS}/txt2img"), 409, "workflow_built_in")


def test_a_removed_workflow_is_offered_no_more(service: Service) -> None:
    one = imported(service)
    path = f"{WORKFLOWS}/{one['name']}"

    assert service.client.delete(path).status_code == 204
    assert service.client.delete(path).status_code == 204

    assert_problem(service.get(path), 404, "not_found")
    assert one["name"] not in [each["name"] for each in service.get(WORKFLOWS).json()["items"]]
    assert_problem(changed(service, one, title="Back"), 404, "not_found")
    refused = service.client.post(CREATE, json={"workflow": one["name"]})
    assert_problem(refused, 422, "invalid_request")
    assert service.client.post(WORKFLOWS, json=file_of(name=one["name"])).status_code == 201


def test_an_accepted_create_is_answered_though_its_workflow_has_gone(service: Service) -> None:
    one = imported(service)
    ask = {"workflow": one["name"], "shade": 255}
    key = {"Idempotency-Key": uuid4().hex}
    first = service.client.post(CREATE, json=ask, headers=key)
    assert service.client.delete(f"{WORKFLOWS}/{one['name']}").status_code == 204

    again = service.client.post(CREATE, json=ask, headers=key)

    assert again.status_code == 202
    assert again.json()["task_id"] == first.json()["task_id"]
    assert_problem(service.client.post(CREATE, json=ask), 422, "invalid_request")


def test_a_name_that_no_workflow_can_have_is_unknown(service: Service) -> None:
    for name in ("a\x00b", "A b", "../x"):
        refused = service.client.post(CREATE, json={"workflow": name, "prompt": "x"})
        assert_problem(refused, 422, "invalid_request")


def test_an_unknown_workflow_names_those_like_it(service: Service) -> None:
    for path in ("", "/schema", "/export"):
        answered = service.get(f"{WORKFLOWS}/txt2imp{path}")
        assert_problem(answered, 404, "not_found")
        assert "txt2img" in answered.json()["detail"]
    assert_problem(service.client.delete(f"{WORKFLOWS}/txt2imp"), 404, "not_found")


WIDTH: Final = COLOUR["inputs"][0]
GRAPH: Final = COLOUR["graph"]
_A_GROUP: Final = {"name": "many", "type": "group"}
WRONG: Final[dict[str, dict[str, Any]]] = {
    "a name that is none": {"name": "Colour one"},
    "no graph": {"graph": None},
    "a graph without nodes": {"graph": {}, "inputs": [], "outputs": []},
    "a node that is none": {"graph": {**GRAPH, "3": "zx81canary"}},
    "a node without a class": {"graph": {**GRAPH, "3": {"inputs": {}}}},
    "a node without inputs": {"graph": {**GRAPH, "3": {"class_type": "EmptyImage"}}},
    "a title that is none": {
        "graph": {**GRAPH, "3": {"class_type": "A", "inputs": {}, "_meta": {"title": 3}}}
    },
    "a file outside": {
        "graph": {**GRAPH, "3": {"class_type": "LoadImage", "inputs": {"image": "../zx81canary"}}}
    },
    "an input of a node that is gone": {
        "inputs": [{**WIDTH, "targets": [{"node": "9", "field": "width"}]}]
    },
    "an output of a node that is gone": {
        "outputs": [{"node": "9", "kind": "image", "name": "image"}]
    },
    "two inputs of one name": {"inputs": [WIDTH, {**WIDTH, "role": None}]},
    "a fraction as a bound": {"inputs": [{**WIDTH, "default": None, "multiple_of": 0.5}]},
    "a seed below 0": {"inputs": [{"name": "seed", "type": "seed", "maximum": -1}]},
    "a default of another type": {"inputs": [{**WIDTH, "default": "zx81canary"}]},
    "a default out of its range": {"inputs": [{**WIDTH, "default": 8}]},
    "a default inside of a list": {
        "inputs": [{"name": "all", "type": "list", "items": {**WIDTH, "default": "zx81canary"}}]
    },
    "too many inputs": {"inputs": [{**_A_GROUP, "fields": [
        {"name": f"a{number}", "type": "text"} for number in range(501)
    ]}]},
    "a field that is none": {"colour": "zx81canary"},
}  # fmt: skip


def named(service: Service) -> list[tuple[str, str]]:
    return [(one["name"], one["version"]) for one in service.get(WORKFLOWS).json()["items"]]


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_file_says_what_and_where(service: Service, wrong: dict[str, Any]) -> None:
    before = named(service)

    answered = service.client.post(WORKFLOWS, json=file_of(**wrong))

    assert_problem(answered, 422, "invalid_workflow")
    assert all(each["message"] for each in answered.json()["errors"])
    assert "zx81canary" not in answered.text
    assert named(service) == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_workflow"),
        (b"[]", "invalid_workflow"),
        (b'{"easel_workflow": 99}', "invalid_workflow"),
        (b"[" * 200 + b"]" * 200, "invalid_workflow"),
        (json.dumps([{}] * 1_000_001).encode(), "invalid_workflow"),
    ],
    ids=["nothing", "a list", "a later form", "nested deeply", "a million values"],
)
def test_what_is_no_workflow_is_refused(service: Service, body: bytes, code: str) -> None:
    answered = service.client.post(WORKFLOWS, content=body)

    assert answered.json()["code"] == code
    assert answered.status_code in {400, 422}


def test_a_wrong_change_is_refused_as_a_whole(service: Service) -> None:
    one = imported(service)

    answered = changed(service, one, title="Colours", inputs=[{**WIDTH, "default": 8}])

    assert_problem(answered, 422, "invalid_workflow")
    assert answered.json()["errors"][0]["loc"] == ["inputs", "width", "default"]
    assert service.get(f"{WORKFLOWS}/{one['name']}").json() == one
    assert_problem(changed(service, one, graph={}), 422, "invalid_request")


def test_a_generation_says_which_version_it_is_of(service: Service) -> None:
    one = imported(service)

    made = service.client.post(CREATE, json={"workflow": one["name"], "width": 64}).json()
    after = changed(service, one, title="Colours").json()

    told = {"name": one["name"], "version": one["version"]}
    assert made["workflow"] == told
    assert made["request"]["workflow"] == one["name"]
    assert (made["request"]["width"], made["request"]["shade"]) == (64, 255)
    assert service.get(made["urls"]["self"]).json()["workflow"] == told
    later = service.client.post(CREATE, json={"workflow": one["name"]}).json()
    assert later["workflow"] == {"name": one["name"], "version": after["version"]}
    found = service.get(HISTORY, params={"workflow": one["name"]}).json()["items"]
    assert [each["task_id"] for each in found] == [later["task_id"], made["task_id"]]
    assert service.get(HISTORY, params={"workflow": "colour"}).json()["items"] == []
