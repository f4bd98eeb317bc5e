"""What browsers are told about each kind of response."""

from __future__ import annotations

import httpx
import pytest

from store.values import Preview
from tests.api.service import BATCHES, CREATE, HISTORY, Service, assert_problem, png

DATA = "default-src 'none'; frame-ancestors 'none'; sandbox"


def directives(answer: httpx.Response) -> dict[str, str]:
    policy = answer.headers["content-security-policy"]
    return dict(f"{part.strip()} ".split(" ", 1) for part in policy.split(";"))


@pytest.fixture(scope="module")
def answers(service: Service) -> dict[str, httpx.Response]:
    """One response of each kind."""
    batch_id = service.created_batch("a fox")
    (task_id,) = service.worker.begin_batch(batch_id, 1)
    service.worker.finish(task_id, png())
    service.worker.end_batch(batch_id, "succeeded")
    (image,) = service.get(service.of(task_id, "result")).json()["images"]
    running = service.created()
    claim = service.worker.start(running)
    service.worker.progress(claim, 50, preview=Preview(1, "image/png", png()))
    paths = {
        "health": "/healthz",
        "readiness": "/readyz",
        "metrics": "/metrics",
        "description": "/openapi.json",
        "documentation": "/docs",
        "script": "/static-offline-docs/swagger-ui-bundle.js",
        "history": HISTORY,
        "status": service.of(task_id, "status"),
        "result": service.of(task_id, "result"),
        "batches": BATCHES,
        "batch": f"{BATCHES}/{batch_id}",
        "picture": image["url"],
        "thumbnail": image["thumbnail_url"],
        "preview": service.of(running, "preview"),
        "zip": f"{BATCHES}/{batch_id}/results.zip",
        "missing": f"{HISTORY}/x/y/z",
    }
    found = {name: service.get(path) for name, path in paths.items()}
    found["refused"] = service.client.post(CREATE, json={})
    found["foreign"] = service.get("/healthz", headers={"Host": "evil.example"})
    return found


KINDS = (
    *("health", "readiness", "metrics", "description", "documentation", "script"),
    *("history", "status", "result", "batches", "batch"),
    *("picture", "thumbnail", "preview", "zip"),
    *("missing", "refused", "foreign"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_response(answers: dict[str, httpx.Response], kind: str) -> None:
    assert answers.keys() == set(KINDS)
    answer = answers[kind]
    expected = {"missing": 404, "refused": 422, "foreign": 403, "readiness": 503}
    assert answer.status_code == expected.get(kind, 200), answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert directives(answer)["frame-ancestors"].strip() == "'none'"
    if kind != "documentation":
        assert answer.headers["content-security-policy"] == DATA


def test_the_documentation_loads_from_here_only(answers: dict[str, httpx.Response]) -> None:
    found = directives(answers["documentation"])
    assert found.pop("default-src").strip() == "'none'"
    allowed = {source for sources in found.values() for source in sources.split()}
    assert allowed == {"'self'", "'none'", "'unsafe-inline'", "data:"}


@pytest.mark.parametrize(
    ("kinds", "caching"),
    [
        (("history", "result", "batches", "batch", "refused", "missing", "foreign"), "no-store"),
        (("preview",), "no-store"),
        (("status",), "no-cache"),
        (("picture", "thumbnail"), "private, no-cache"),
    ],
)
def test_what_browsers_keep(
    answers: dict[str, httpx.Response], kinds: tuple[str, ...], caching: str
) -> None:
    assert {answers[kind].headers["cache-control"] for kind in kinds} == {caching}


def test_a_bug_is_answered_with_them_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.generations.routes.answer", None)
    broken = service.get(HISTORY)
    assert_problem(broken, 500, "internal_error")
    assert broken.headers["content-security-policy"] == DATA
    assert broken.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "image/中文", "image/png\r\nX: y"])
def test_only_pictures_are_previews(service: Service, kind: str) -> None:
    """ComfyUI says the type; a document would run on this site when it is opened."""
    task_id = service.created()
    claim = service.worker.start(task_id)
    service.worker.progress(claim, 50, preview=Preview(1, kind, b"<script>1</script>"))
    assert_problem(service.get(service.of(task_id, "preview")), 404, "not_found")
    for number, good in enumerate(("image/jpeg", "image/png", "image/webp"), 2):
        service.worker.progress(claim, 60, preview=Preview(number, good, png()))
        answer = service.get(service.of(task_id, "preview"))
        assert (answer.status_code, answer.headers["content-type"]) == (200, good)


def test_readiness_tells_neither_paths_nor_host_names(service: Service) -> None:
    service.worker.appear(comfy_reachable=True, name="ann-workstation")
    text = service.get("/readyz").text
    assert str(service.home) not in text
    assert "ann-workstation" not in text
    assert "1 running" in text
    service.worker.leave()
