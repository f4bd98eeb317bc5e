"""The documentation: complete, valid, and readable without the internet."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urljoin
from uuid import uuid4

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest

from core.callbacks.callback import BATCH_EVENTS, GENERATION_EVENTS
from core.problems import problem
from tests.api import documented
from tests.api.service import (
    BATCHES,
    CREATE,
    SCHEDULES,
    Backstage,
    Service,
    assert_problem,
    closed_port,
)
from tests.harness.databases import a_store

CONTRACT: Final = {
    ("post", "/api/v1/generation/create"),
    ("get", "/api/v1/generation/status/{task_id}"),
    ("get", "/api/v1/generation/result/{task_id}"),
    ("get", "/api/v1/generation/history"),
    ("delete", "/api/v1/generation/{task_id}"),
    ("post", "/api/v1/generation/{task_id}/cancel"),
    ("post", "/api/v1/generation/{task_id}/retry"),
    ("get", "/api/v1/generation/{task_id}/attempts"),
    ("get", "/api/v1/generation/{task_id}/events"),
    ("get", "/api/v1/artefacts/{artefact_id}"),
    ("get", "/api/v1/artefacts/{artefact_id}/poster"),
    ("get", "/api/v1/images/{image_id}"),
    ("get", "/api/v1/images/{image_id}/thumbnail"),
    ("post", "/api/v1/batches"),
    ("post", "/api/v1/uploads"),
    ("get", "/api/v1/uploads/{upload_id}"),
    ("delete", "/api/v1/uploads/{upload_id}"),
    ("get", "/api/v1/batches"),
    ("get", "/api/v1/batches/{batch_id}"),
    ("get", "/api/v1/batches/{batch_id}/items"),
    ("post", "/api/v1/batches/{batch_id}/cancel"),
    ("post", "/api/v1/batches/{batch_id}/pause"),
    ("post", "/api/v1/batches/{batch_id}/resume"),
    ("post", "/api/v1/batches/{batch_id}/retry-failed"),
    ("get", "/api/v1/batches/{batch_id}/results.zip"),
    ("get", "/api/v1/batches/{batch_id}/contact-sheet"),
    ("get", "/api/v1/schedules"),
    ("post", "/api/v1/schedules"),
    ("get", "/api/v1/schedules/{schedule_id}"),
    ("patch", "/api/v1/schedules/{schedule_id}"),
    ("delete", "/api/v1/schedules/{schedule_id}"),
    ("get", "/api/v1/deliveries"),
    ("get", "/api/v1/deliveries/{delivery_id}"),
    ("post", "/api/v1/deliveries/{delivery_id}/redeliver"),
    ("get", "/api/v1/workflows"),
    ("post", "/api/v1/workflows"),
    ("get", "/api/v1/workflows/{name}"),
    ("put", "/api/v1/workflows/{name}"),
    ("delete", "/api/v1/workflows/{name}"),
    ("get", "/api/v1/workflows/{name}/schema"),
    ("get", "/api/v1/workflows/{name}/export"),
    ("get", "/api/v1/models"),
    ("put", "/api/v1/models/{folder}/{name}"),
    ("get", "/api/v1/options"),
    ("get", "/healthz"),
    ("get", "/readyz"),
}


BINARY: Final = frozenset({"multipart/form-data", "application/octet-stream"})
"""Bodies of which a text is no example."""
ROOT: Final = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def fresh(backstage: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A home whose ComfyUI and Prefect were never reached."""
    home = tmp_path_factory.mktemp("fresh")
    a_store(home / "easel.db")
    with Service(backstage, home, closed_port(), f"{closed_port()}/api") as service:
        yield service


@pytest.fixture(scope="module")
def openapi(service: Service) -> dict[str, Any]:
    response = service.get("/openapi.json")
    assert response.status_code == 200
    document: dict[str, Any] = response.json()
    return document


def _operations(openapi: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_of_the_contract_is_there(openapi: dict[str, Any]) -> None:
    assert set(_operations(openapi)) >= CONTRACT


def test_every_route_says_what_it_does_and_how_it_fails(openapi: dict[str, Any]) -> None:
    for where, operation in _operations(openapi).items():
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["tags"], where
        problems = {
            status: response
            for status, response in operation["responses"].items()
            if status == "default" or (int(status) >= 400 and where[1] != "/readyz")
        }
        assert problems, where
        for status, response in problems.items():
            assert response["description"], (where, status)
            assert response["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }, (where, status)


def test_every_parameter_and_answer_is_described(openapi: dict[str, Any]) -> None:
    for where, operation in _operations(openapi).items():
        in_path = set(re.findall(r"{(\w+)}", where[1]))
        parameters = operation.get("parameters", [])
        assert {item["name"] for item in parameters if item["in"] == "path"} == in_path
        for item in parameters:
            assert item.get("description"), (where, item)
        assert all(answer["description"] for answer in operation["responses"].values())


def test_operations_have_names_of_their_own(openapi: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in _operations(openapi).values()]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere(openapi: dict[str, Any]) -> None:
    assert openapi["openapi"].startswith("3.1")
    schemas = openapi["components"]["schemas"]
    for reference in _references(openapi):
        kind, _, name = reference.rpartition("/")
        assert kind == "#/components/schemas"
        assert name in schemas
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_event_is_a_webhook(openapi: dict[str, Any]) -> None:
    assert openapi["webhooks"].keys() == {*GENERATION_EVENTS, *BATCH_EVENTS}
    for event, methods in openapi["webhooks"].items():
        [(method, webhook)] = methods.items()
        assert method == "post"
        headers = {each["name"]: each for each in webhook["parameters"]}
        assert headers.keys() == {"webhook-id", "webhook-timestamp", "webhook-signature"}
        assert all(each["description"] and each["in"] == "header" for each in headers.values())
        schema = webhook["requestBody"]["content"]["application/json"]["schema"]
        told = openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert event in told["properties"]["type"]["enum"]
        assert {"200", "410", "default"} == webhook["responses"].keys()


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for item in value.values() for found in _references(item)]
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    return []


@dataclass(frozen=True)
class Example:
    """A request as the documentation shows it."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes

    def sent_to(self, service: Service) -> httpx.Response:
        path = re.sub("{[a-z_]+}|SCHEDULE_ID", str(uuid4()), self.path)
        return service.client.request(self.method, path, headers=self.headers, content=self.content)


def _body_examples(content: dict[str, Any]) -> list[bytes]:
    if "example" in content:
        return [content["example"].encode()]
    schema = content["schema"]
    assert schema["examples"]
    for example in schema["examples"]:
        jsonschema.validate(example, schema)
    return [json.dumps(example).encode() for example in schema["examples"]]


def _examples_of_bodies() -> dict[str, Example]:
    return {
        f"{method} {path} {kind} {number}": Example(method, path, {"Content-Type": kind}, example)
        for (method, path), operation in _operations(documented.openapi()).items()
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
        if kind not in BINARY
        for number, example in enumerate(_body_examples(content))
    }


def _examples_of_parameters() -> dict[str, Example]:
    return {
        f"{method} {path} {parameter['name']}": Example(
            method, f"{path}?{urlencode({parameter['name']: example})}", {}, b""
        )
        for (method, path), operation in _operations(documented.openapi()).items()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
        for example in parameter["schema"].get("examples", [])
    }


def _examples_of_pages() -> dict[str, Example]:
    """The curl commands in the README and in docs."""
    found: dict[str, Example] = {}
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]):
        text = page.read_text().replace("\\\n", " ")
        for number, command in enumerate(re.findall(r"^curl [^|#\n]+", text, re.MULTILINE)):
            found[f"{page.name} {number}"] = _curl(shlex.split(command))
    return found


def _curl(words: list[str]) -> Example:
    [url] = [word for word in words if word.startswith("http://")]
    after = dict(itertools.pairwise(words))
    headers = [words[at + 1] for at, word in enumerate(words) if word == "-H"]
    content = after.get("-d", "").encode()
    if "--data-binary" in after:
        content = (ROOT / after["--data-binary"].removeprefix("@")).read_bytes()
    return Example(
        after.get("-X", "POST" if content else "GET"),
        url.partition("127.0.0.1:8700")[2],
        # Nothing is rendered here, so that a wait would be in vain.
        {**dict(header.split(": ", 1) for header in headers), "Prefer": "wait=0"},
        content,
    )


EXAMPLES: Final = {
    **_examples_of_bodies(),
    **_examples_of_parameters(),
    **_examples_of_pages(),
}
FRESH: Final = frozenset({200, 201, 404, 503})
"""What a home answers whose ComfyUI and Prefect were never reached."""


def test_there_are_examples_of_every_kind() -> None:
    assert _examples_of_bodies().keys() >= {
        f"post {CREATE} application/json 0",
        f"post {BATCHES} application/json 0",
        f"post {BATCHES} text/csv 0",
        f"post {BATCHES} application/x-ndjson 0",
        f"post {SCHEDULES} application/json 0",
        f"patch {SCHEDULES}/{{schedule_id}} application/json 0",
        "post /api/v1/workflows application/json 0",
        "put /api/v1/workflows/{name} application/json 0",
    }
    assert _examples_of_parameters()
    assert _examples_of_pages().keys() >= {"README.md 0", "operations.md 0"}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_is_right_anywhere(service: Service, fresh: Service, example: Example) -> None:
    answered = example.sent_to(service)
    if example.path.startswith(SCHEDULES):
        assert_problem(answered, 503, "not_available")  # valid; but Prefect is away
    else:
        assert answered.status_code in {200, 201, 202} or "{" in example.path, answered.text
    assert example.sent_to(fresh).status_code in FRESH


def test_answers_are_as_documented(service: Service, openapi: dict[str, Any]) -> None:
    task_id = service.created()
    service.worker.finish(task_id)
    failed = service.created()
    service.worker.fail(service.worker.start(failed))
    batch_id = service.created_batch("a fox", "an owl", "a hen")
    first, second = service.worker.begin_batch(batch_id, 2)
    service.worker.finish(first)
    service.worker.fail(service.worker.start(second))
    ended = service.created_batch("a fox", not_after="07:00", stop_after_failures=1)
    service.worker.end_batch(ended, "failed", problem("batch_incomplete", "Of 1, 1 failed."))
    operations = _operations(openapi)
    documented = {
        f"{BATCHES}/{batch_id}": "/api/v1/batches/{batch_id}",
        f"{BATCHES}/{ended}": "/api/v1/batches/{batch_id}",
        f"{BATCHES}/{batch_id}/items": "/api/v1/batches/{batch_id}/items",
        BATCHES: BATCHES,
        f"/api/v1/generation/status/{task_id}": "/api/v1/generation/status/{task_id}",
        f"/api/v1/generation/status/{failed}": "/api/v1/generation/status/{task_id}",
        f"/api/v1/generation/result/{task_id}": "/api/v1/generation/result/{task_id}",
        f"/api/v1/generation/{failed}/attempts": "/api/v1/generation/{task_id}/attempts",
        "/api/v1/generation/history": "/api/v1/generation/history",
        "/api/v1/workflows": "/api/v1/workflows",
        "/api/v1/workflows/txt2img": "/api/v1/workflows/{name}",
        "/api/v1/models": "/api/v1/models",
        "/api/v1/options": "/api/v1/options",
        "/healthz": "/healthz",
    }
    for path, route in documented.items():
        response = operations[("get", route)]["responses"]["200"]
        schema = response["content"]["application/json"]["schema"]
        jsonschema.validate(
            service.get(path).json(), {**schema, "components": openapi["components"]}
        )
    refused = service.get(f"/api/v1/generation/result/{failed}").json()
    reference = {"$ref": "#/components/schemas/Problem", "components": openapi["components"]}
    jsonschema.validate(refused, reference)


class _Sources(HTMLParser):
    """Everything that a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        for name, value in attrs:
            if name in ("src", "href", "spec-url") and value:
                self.found.append(value)


def test_the_page_works_offline(service: Service) -> None:
    page = "/docs"
    response = service.get(page)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "http://" not in response.text
    assert "https://" not in response.text

    sources = _Sources()
    sources.feed(response.text)
    loaded = {*sources.found, *re.findall(r"url: '([^']+)'", response.text)}
    assert "/openapi.json" in loaded
    assert [source for source in loaded if source.endswith(".js")]
    for source in loaded:
        assert source.startswith("/")
        assert not source.startswith("//")
        answer = service.get(urljoin(page, source))
        assert answer.status_code == 200
        assert answer.content


def test_an_unknown_page_is_a_problem(service: Service) -> None:
    assert_problem(service.get("/static-offline-docs/nix.js"), 404, "not_found")
