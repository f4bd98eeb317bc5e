"""What Easel ships, as sources of imports: listed first, added by name."""

from __future__ import annotations

import sys
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from comfy.shipped import SHIPPED
from comfy.shipped.package import PACKAGE
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import Backstage, Comfy, Service, assert_problem

WORKFLOWS: Final = "/api/v1/workflows"


def added(service: Service, one: str, **query: Any) -> httpx.Response:
    return service.client.post(WORKFLOWS, json={"source": f"shipped:{one}"}, params=query)


def test_they_are_listed_before_what_comfyui_offers(service: Service) -> None:
    answered = service.get(f"{WORKFLOWS}/sources").json()

    items = answered["items"]
    assert [one["name"] for one in items[: len(SHIPPED)]] == list(SHIPPED)
    assert {one["kind"] for one in items[: len(SHIPPED)]} == {"shipped"}
    assert "shipped" not in {one["kind"] for one in items[len(SHIPPED) :]}
    wan = next(one for one in items if one["source"] == "shipped:wan22-t2v")
    assert (wan["media"], wan["title"]) == ("video", SHIPPED["wan22-t2v"].title)
    assert wan["description"]
    assert answered["problem"] is None


def test_they_are_listed_while_comfyui_is_away(start_service: StartService) -> None:
    service = start_service()

    answered = service.get(f"{WORKFLOWS}/sources")

    assert answered.status_code == 200
    assert [one["name"] for one in answered.json()["items"]] == list(SHIPPED)
    assert "cannot be reached" in answered.json()["problem"]
    assert_problem(added(service, "wan22-t2v"), 503, "no_catalogue")
    template = service.client.post(WORKFLOWS, json={"source": "template:flux_dev"})
    assert_problem(template, 503, "not_available")


def test_one_is_added_with_its_declaration(service: Service) -> None:
    first, second = added(service, "wan22-t2v"), added(service, "wan22-t2v")

    assert first.status_code == 201, first.text
    one = first.json()["declaration"]
    entry = SHIPPED["wan22-t2v"]
    assert (one["name"], one["title"]) == (entry.name, entry.title)
    assert (one["description"], one["kind"]) == (entry.description, "video")
    own = [each.name for each in entry.inputs]
    assert [each["name"] for each in one["inputs"]][: len(own)] == own
    assert {each["type"] for each in one["inputs"][len(own) :]} == {"model"}
    assert one["roles"]["prompt"] == "prompt"
    assert (one["origin"]["source"], one["origin"]["file"]) == (entry.source, entry.templates[0])
    assert one["state"] == "missing_models"
    assert second.json()["declaration"]["name"] == "wan22-t2v-2"


def test_another_name_and_title_can_be_said(service: Service) -> None:
    name = f"own-{uuid4().hex[:12]}"

    answered = added(
        service, "z-image-turbo", name=name, title="Mine", input="57:3.denoise=denoise"
    )

    one = answered.json()["declaration"]
    assert (one["name"], one["title"]) == (name, "Mine")
    assert one["inputs"][-1]["name"] == "denoise"
    assert_problem(added(service, "z-image-turbo", name=name), 409, "workflow_exists")


def test_a_request_must_say_the_prompt(service: Service) -> None:
    one = added(service, "stable-audio").json()["declaration"]

    assert [each["name"] for each in one["inputs"] if each["required"]] == ["prompt"]


def test_an_unknown_one_names_near_ones(service: Service) -> None:
    answered = added(service, "wan22-t2")

    problem = assert_problem(answered, 422, "unknown_source")
    assert "wan22-t2v" in problem["detail"]
    for absent in ("", "../index", "image_z_image_turbo"):
        assert_problem(added(service, absent), 422, "unknown_source")


def test_without_the_template_it_is_said_where_to_get_it(
    backstage: Backstage, start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with Comfy(backstage) as comfy:
        service = start_service(comfy.url)
        until_catalogue(service)

        problem = assert_problem(added(service, "wan22-t2v"), 422, "unknown_source")

    assert SHIPPED["wan22-t2v"].templates[0] in problem["detail"]
    assert "comfyui-workflow-templates-json" in problem["detail"]
