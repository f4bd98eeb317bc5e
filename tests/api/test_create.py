"""Create: what a 202 says, what is filled in, what ``Prefer: wait`` waits for."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from core.fields import SEED_MAX
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import CHECKPOINTS, CREATE, Comfy, Service, assert_problem
from tests.harness.waiting import wait_until

FULL: Final[dict[str, Any]] = {
    "prompt": "a red fox at dawn, film grain",
    "negative_prompt": "blurry",
    "workflow": "txt2img",
    "model": CHECKPOINTS[1],
    "width": 832,
    "height": 1216,
    "steps": 30,
    "cfg": 5.5,
    "sampler": "heun",
    "scheduler": "simple",
    "seed": SEED_MAX,
    "batch_size": 2,
    "priority": "bulk",
    "timeout_s": 120,
    "callback_url": None,
    "metadata": {"order": "42", "paid": True, "ratio": 0.5, "count": 3, "note": None},
}


def test_only_the_prompt_is_required(service: Service) -> None:
    response = service.client.post(CREATE, json={"prompt": "a red fox"})

    assert response.status_code == 202
    document = response.json()
    task_id = document["task_id"]
    assert str(UUID(task_id)) == task_id
    assert response.headers["location"] == f"{service.url}/api/v1/generation/status/{task_id}"
    assert int(response.headers["retry-after"]) >= 1
    assert document["status"] == "queued"
    assert document["sequence"] == 1
    assert document["attempt"] == 1
    assert document["error"] is document["progress"] is document["finished_at"] is None
    assert datetime.fromisoformat(document["created_at"]).tzinfo is not None


@pytest.mark.parametrize(
    ("model", "defaults"),
    [
        (CHECKPOINTS[0], (512, 512, 20, 7.0, "euler", "normal")),
        (CHECKPOINTS[1], (1024, 1024, 25, 6.5, "dpmpp_2m", "karras")),
    ],
)
def test_what_is_left_out_suits_the_model(
    service: Service, model: str, defaults: tuple[object, ...]
) -> None:
    request = service.create(model=model)["request"]

    named = ("width", "height", "steps", "cfg", "sampler", "scheduler")
    assert tuple(request[name] for name in named) == defaults
    assert request["model"] == model
    assert (request["batch_size"], request["priority"], request["timeout_s"]) == (
        1,
        "interactive",
        600,
    )
    assert (request["negative_prompt"], request["workflow"], request["metadata"]) == (
        "",
        "txt2img",
        {},
    )


def test_without_a_model_the_first_checkpoint_is_used(service: Service) -> None:
    assert service.create()["request"]["model"] == CHECKPOINTS[0]


def test_everything_that_is_given_is_used_as_it_is(service: Service) -> None:
    document = service.create(**FULL)

    assert document["request"] == FULL
    assert service.status(UUID(document["task_id"]))["request"] == FULL


def test_a_seed_is_drawn_and_stays(service: Service) -> None:
    drawn = [service.create() for _ in range(5)]

    seeds = [document["request"]["seed"] for document in drawn]
    assert len(set(seeds)) == 5
    assert all(type(seed) is int and 0 <= seed <= SEED_MAX for seed in seeds)
    again = [service.status(UUID(document["task_id"]))["request"]["seed"] for document in drawn]
    assert again == seeds


def test_nulls_are_as_good_as_nothing(service: Service) -> None:
    left_out: dict[str, Any] = {
        "model": None,
        "width": None,
        "steps": None,
        "cfg": None,
        "seed": None,
    }
    request = service.create(**left_out)["request"]

    assert None not in (request["model"], request["width"], request["steps"], request["seed"])


def test_the_addresses_in_the_answer_lead_somewhere(service: Service) -> None:
    urls = service.create()["urls"]

    assert service.get(urls["self"]).status_code == 200
    assert_problem(service.get(urls["result"]), 409, "not_ready")
    assert service.client.post(urls["cancel"]).status_code == 202
    assert service.get(urls["events"]).headers["content-type"].startswith("text/event-stream")


def test_the_public_address_is_used_for_links(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url, public_url="https://pictures.example")
    document = service.create(model=CHECKPOINTS[0])

    assert document["urls"]["self"].startswith("https://pictures.example/api/v1/generation/")


def test_prefer_wait_answers_202_when_the_time_is_over(service: Service) -> None:
    response = service.client.post(CREATE, json={"prompt": "slow"}, headers={"Prefer": "wait=1"})

    assert response.status_code == 202
    assert response.json()["status"] == "queued"
    assert response.headers["preference-applied"] == "wait=1"
    assert response.headers["retry-after"]


def test_prefer_wait_answers_200_when_it_ended_meanwhile(service: Service) -> None:
    answers: list[Any] = []

    def ask() -> None:
        preference = {"Prefer": "respond-async, wait=20"}
        asked = {"prompt": "the awaited"}
        answers.append(service.client.post(CREATE, json=asked, headers=preference))

    asking = threading.Thread(target=ask)
    asking.start()
    params = {"q": "the awaited"}
    items = wait_until(
        lambda: service.get("/api/v1/generation/history", params=params).json()["items"]
    )
    service.worker.finish(UUID(items[0]["task_id"]))
    asking.join(20)

    (response,) = answers
    assert response.status_code == 200
    assert response.json()["status"] == "succeeded"
    assert "retry-after" not in response.headers


FORMS: Final[dict[str, tuple[list[str], str]]] = {
    "upper case": (["WAIT=0"], "wait=0"),
    "quoted": (['wait="0"'], "wait=0"),
    "blanks": (["wait = 0"], "wait=0"),
    "leading zeros": (["wait=000"], "wait=0"),
    "a parameter": (["wait=0; reason=impatience"], "wait=0"),
    "among others": (['respond-async, trace="a, wait=7", wait=0,, handling=lenient'], "wait=0"),
    "two headers": (["respond-async", "wait=0"], "wait=0"),
    "twice: the first counts": (["wait=0, wait=50", "wait=60"], "wait=0"),
}


@pytest.mark.parametrize(("prefer", "applied"), FORMS.values(), ids=FORMS)
def test_a_preference_is_understood_in_every_form(
    service: Service, prefer: list[str], applied: str
) -> None:
    headers = [("Prefer", one) for one in prefer]
    response = service.client.post(CREATE, json={"prompt": "x"}, headers=headers)

    assert response.status_code == 202
    assert response.headers["preference-applied"] == applied


@pytest.mark.parametrize("seconds", ["61", "100000", "9" * 900])
def test_nobody_waits_longer_than_a_minute(service: Service, seconds: str) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    created = service.client.post(CREATE, json={"prompt": "x"}, headers=headers)
    service.worker.finish(UUID(created.json()["task_id"]))

    headers["Prefer"] = f"wait={seconds}"
    response = service.client.post(CREATE, json={"prompt": "x"}, headers=headers)

    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=60"


@pytest.mark.parametrize(
    "prefer",
    [
        *("wait", "wait=", 'wait=""', "wait=-1", "wait=+1", "wait=1.5", "wait=soon", 'wait="1'),
        *("wait=soon, wait=1", "await=1", "handling=lenient; wait=1", "handling=lenient", ""),
        f"wait=1, a={' ' * 30_000}b c",  # reading it took 19 s
    ],
)
def test_a_preference_that_is_not_understood_is_ignored(service: Service, prefer: str) -> None:
    response = service.client.post(CREATE, json={"prompt": "x"}, headers={"Prefer": prefer})

    assert response.status_code == 202
    assert "preference-applied" not in response.headers


@pytest.mark.parametrize(
    ("field", "wrong", "near"),
    [
        ("model", "painter-v15.safetensors", CHECKPOINTS[0]),
        ("sampler", "dpm++_2m", "dpmpp_2m"),
        ("scheduler", "karas", "karras"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(
    service: Service, field: str, wrong: str, near: str
) -> None:
    before = service.count()
    response = service.client.post(CREATE, json={"prompt": "x", field: wrong})

    (error,) = assert_problem(response, 422, "invalid_request")["errors"]
    assert error["loc"] == [field]
    assert error["code"] == f"unknown_{field}"
    assert near in error["message"]
    assert wrong not in response.text
    assert service.count() == before


def test_all_that_is_wrong_is_said_at_once(service: Service) -> None:
    response = service.client.post(
        CREATE, json={"steps": "20", "width": 513, "seed": -2, "nix": 1, "metadata": []}
    )

    errors = assert_problem(response, 422, "invalid_request")["errors"]
    places = {entry["loc"][0] for entry in errors}
    assert places == {"prompt", "steps", "width", "seed", "nix", "metadata"}


def test_a_model_that_was_added_just_now_is_taken(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    comfy.add_checkpoint("brand-new-xl.safetensors")

    # ComfyUI is asked again for a name that is missed, though not every moment.
    body = {"prompt": "a red fox", "model": "brand-new-xl.safetensors"}
    wait_until(lambda: service.client.post(CREATE, json=body).status_code == 202)
    assert service.count() == 1
    names = [model["name"] for model in service.get("/api/v1/models").json()["checkpoints"]]
    assert "brand-new-xl.safetensors" in names


def test_comfyui_that_was_never_reached_needs_a_model_by_name(start_service: StartService) -> None:
    service = start_service()
    response = service.client.post(CREATE, json={"prompt": "a red fox"})

    assert_problem(response, 503, "no_catalogue")
    assert int(response.headers["retry-after"]) >= 1
    assert service.count() == 0
    request = service.create(model="some-xl.safetensors")["request"]
    assert (request["model"], request["width"]) == ("some-xl.safetensors", 1024)
    assert service.count() == 1


def test_comfyui_that_went_away_is_remembered(start_service: StartService, comfy: Comfy) -> None:
    until_catalogue(start_service(comfy.url))
    comfy.stop()

    service = start_service(comfy.url)
    assert service.create()["request"]["model"] == CHECKPOINTS[0]
    response = service.client.post(CREATE, json={"prompt": "x", "sampler": "nix"})
    assert_problem(response, 422, "invalid_request")


def test_a_configured_default_model_goes_first(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url, default_model=CHECKPOINTS[1])
    until_catalogue(service)

    assert service.create()["request"]["model"] == CHECKPOINTS[1]
    assert service.get("/api/v1/models").json()["default"] == CHECKPOINTS[1]
