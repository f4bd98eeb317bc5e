"""Every operation by HTTP: what is accepted, and what it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from comfy import BUILT_IN
from tests.api.operations import (
    FLUX,
    FLUX_LORA,
    SD15,
    SIZE,
    UPLOADS,
    UPSCALER,
    a_hole,
    a_mask,
    a_picture,
    operating_service,
    picture_of,
    refused,
    sent,
    uploads,
)
from tests.api.service import BATCHES, CREATE, SCHEDULES, Service, assert_problem

WORKFLOWS: Final = "/api/v1/workflows"
SAME: Final = {"model": SD15, "seed": 7}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with operating_service(tmp_path_factory.mktemp("home")) as service:
        yield service


@pytest.fixture(scope="module")
def start(service: Service) -> str:
    return sent(service, a_picture())


@pytest.fixture(scope="module")
def mask(service: Service) -> str:
    return sent(service, a_mask(), "mask.png")


# --- what is accepted


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_a_built_in_workflow_is_described(service: Service, name: str) -> None:
    choices = service.get(f"{WORKFLOWS}/{name}/choices").json()["inputs"]
    document = service.get(f"{WORKFLOWS}/{name}").json()
    assert (document["built_in"], document["kind"], document["state"]) == (True, "image", "ready")
    schema = service.get(f"{WORKFLOWS}/{name}/schema").json()
    required = {one.name for one in BUILT_IN[name].inputs if one.required}
    assert set(schema.get("required", ())) == required
    assert set(BUILT_IN[name].by_name) <= set(schema["properties"])
    assert "film.safetensors" in choices["loras.*.name"]
    if name == "upscale":
        assert choices["model"] == [UPSCALER]
    assert {SD15, FLUX} <= set(choices["detail_model" if name == "upscale" else "model"])


def test_each_workflow_takes_its_inputs(service: Service, start: str, mask: str) -> None:
    for workflow, inputs in {
        "img2img": {"prompt": "an owl", "init_image": start, **SAME},
        "inpaint": {"prompt": "an owl", "init_image": start, "mask": mask, **SAME},
        "outpaint": {"prompt": "an owl", "init_image": start, "outpaint": {"left": 64}, **SAME},
        "upscale": {"init_image": start, "model": UPSCALER, "scale": 2},
    }.items():
        given: dict[str, Any] = {"prompt": "", **inputs}
        document = service.create(workflow=workflow, **given)
        assert document["workflow"]["name"] == workflow
        assert document["request"]["init_image"] == start
        assert document["warnings"] == []


def test_what_easel_made_is_an_input(service: Service) -> None:
    [artefact] = service.worker.finish(service.created(), a_picture(size=(640, 448)))

    document = service.create("an owl", init_image=f"artefact:{artefact.id}", **SAME)

    assert (document["request"]["width"], document["request"]["height"]) == (640, 448)


def test_a_mask_means_the_same_however_it_is_written(
    service: Service, start: str, mask: str
) -> None:
    of_alpha = sent(service, a_hole())
    inverted = sent(service, a_mask(box=(0, 0, *SIZE)))
    asked = {"init_image": start, **SAME}
    made = [service.create("an owl", mask=one, **asked)["request"] for one in (mask, of_alpha)]

    assert {one["mask_invert"] for one in made} == {False}
    for one in made:
        kept = picture_of(service, one["mask"])
        assert (kept.mode, kept.size) == ("RGB", SIZE)
        assert kept.getpixel((64, 64)) == kept.getpixel((127, 191)) == (255, 255, 255)
        assert kept.getpixel((63, 64)) == kept.getpixel((128, 191)) == (0, 0, 0)
    assert service.create("an owl", mask=of_alpha, **asked)["request"]["mask"] == made[1]["mask"]
    # All white, inverted: nothing is to be changed.
    refused(
        service, "empty_mask", "mask",
        prompt="an owl", init_image=start, mask=inverted, mask_invert=True, **SAME,
    )  # fmt: skip


def test_an_inverted_mask_is_turned_and_the_request_says_so(
    service: Service, start: str, mask: str
) -> None:
    asked = {"init_image": start, "mask": mask, "mask_invert": True, **SAME}

    request = service.create("an owl", **asked)["request"]

    assert request["mask_invert"] is False
    kept = picture_of(service, request["mask"])
    assert (kept.getpixel((64, 64)), kept.getpixel((63, 64))) == ((0, 0, 0), (255, 255, 255))
    # What the result says, sent again, is the same.
    again = service.create(**{k: v for k, v in request.items() if v is not None})["request"]
    assert again == request


def test_a_repeat_with_its_key_is_answered_though_the_files_are_gone(service: Service) -> None:
    start, mask = sent(service, a_picture(colour="red")), sent(service, a_mask(box=(0, 0, 9, 9)))
    body = {"prompt": "an owl", "init_image": start, "mask": mask, **SAME}
    headers = {"Idempotency-Key": uuid4().hex}
    first = service.client.post(CREATE, json=body, headers=headers)
    assert first.status_code == 202, first.text
    for one in (start, mask):
        service.client.delete(f"{UPLOADS}/{one.removeprefix('upload:')}")

    again = service.client.post(CREATE, json=body, headers=headers)

    assert again.status_code == 202
    assert again.json() == first.json()
    refused(service, "upload_expired", "init_image", **body)


# --- warnings


def test_what_a_model_does_not_heed_is_told(service: Service) -> None:
    created = service.create(
        "a fox <lora:film:0.5>", model=FLUX, negative_prompt="blurry", width=1000, height=1000
    )

    told = {one["code"]: one for one in created["warnings"]}
    assert told.keys() == {"negative_prompt_ignored", "loras_from_prompt", "size_rounded"}
    assert told["negative_prompt_ignored"]["loc"] == ["negative_prompt"]
    task_id = UUID(created["task_id"])
    assert service.status(task_id)["warnings"] == created["warnings"]
    assert service.history()[0]["warnings"] == created["warnings"]
    assert created["request"]["loras"][0]["name"] == "film.safetensors"


def test_a_lora_of_another_family_is_a_warning_that_names_both(service: Service) -> None:
    created = service.create("a fox", loras=[{"name": FLUX_LORA}], **SAME)

    [warning] = created["warnings"]
    assert (warning["code"], warning["loc"]) == ("lora_of_another_family", ["loras", 0, "name"])
    assert FLUX_LORA in warning["message"]
    assert "Flux" in warning["message"]
    assert "SD 1.5" in warning["message"]


def test_a_dry_run_tells_each_warning_once_and_writes_nothing(service: Service, start: str) -> None:
    mask = sent(service, a_mask(box=(9, 9, 99, 99)))
    rows = [
        {"prompt": f"fox {number}", "init_image": start, "mask": mask, "mask_invert": True, **SAME}
        for number in range(3)
    ]
    rows.append({"prompt": "a [fox]", "model": FLUX})
    before = uploads(service)

    answered = service.client.post(BATCHES, params={"dry_run": "true"}, json={"items": rows})

    assert answered.status_code == 200, answered.text
    plan = answered.json()
    assert plan["total"] == 4
    assert uploads(service) == before
    assert {(one["mask"], one["mask_invert"]) for one in plan["samples"][:3]} == {(mask, True)}
    assert plan["warnings"] == []
    rows = [{**row, "negative_prompt": "blurry", "cfg": 1} for row in rows]
    plan = service.client.post(BATCHES, params={"dry_run": "true"}, json={"items": rows}).json()
    [warning] = plan["warnings"]
    assert warning == {
        "code": "negative_prompt_ignored",
        "loc": ["negative_prompt"],
        "message": warning["message"],
        "row": 1,
        "count": 4,
    }


# --- wildcards


def test_wildcards_are_drawn_by_the_seed_where_that_is_asked_for(service: Service) -> None:
    folder = service.settings.wildcards
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "animals.txt").write_text("fox\nowl\nhen\n", encoding="utf-8")
    asked: dict[str, Any] = {
        "prompt": "a __animals__ {at dawn|at night}",
        "wildcards": True,
        **SAME,
    }

    first, again = service.create(**asked), service.create(**asked)
    literal = service.create(**{**asked, "wildcards": False})

    assert first["request"]["prompt"] == again["request"]["prompt"]
    assert first["request"]["prompt"].split()[1] in ("fox", "owl", "hen")
    [warning] = first["warnings"]
    assert (warning["code"], warning["loc"]) == ("wildcards_drawn", ["prompt"])
    assert first["request"]["prompt"] in warning["message"]
    assert (literal["request"]["prompt"], literal["warnings"]) == (asked["prompt"], [])
    batch = service.created_batch(items=[asked], wildcards=False)
    [item] = service.items(batch)
    assert item["request"]["prompt"] == first["request"]["prompt"]
    refused(service, "wildcard", "prompt", prompt="a __planets__", wildcards=True, **SAME)


# --- batches


def test_a_batch_has_files_in_each_row(service: Service, mask: str) -> None:
    starts = [sent(service, a_picture(colour=colour)) for colour in ("red", "green", "blue")]
    items = [{"init_image": one, "mask": mask} for one in starts]
    key = {"Idempotency-Key": uuid4().hex}
    body = {"workflow": "inpaint", "items": items, "defaults": {"prompt": "an owl", **SAME}}

    answers = [service.client.post(BATCHES, json=body, headers=key) for _ in range(2)]

    assert [one.status_code for one in answers] == [202, 202], answers[0].text
    assert answers[0].json()["batch_id"] == answers[1].json()["batch_id"]
    made = [one["request"] for one in service.items(UUID(answers[0].json()["batch_id"]))]
    assert [one["init_image"] for one in made] == starts
    assert len({one["mask"] for one in made}) == 1
    assert picture_of(service, made[0]["mask"]).mode == "RGB"


def test_a_table_has_columns_for_all_of_it(service: Service, start: str) -> None:
    table = (
        "prompt,init_image,denoise,hires.scale,loras.0.name,loras.0.strength\n"
        f"an owl,{start},0.4,1.5,film.safetensors,0.8\n"
    )
    answered = service.client.post(
        BATCHES, params={"workflow": "img2img"}, content=table, headers={"Content-Type": "text/csv"}
    )

    assert answered.status_code == 202, answered.text
    [item] = service.items(UUID(answered.json()["batch_id"]))
    request = item["request"]
    assert (request["denoise"], request["hires"]["scale"]) == (0.4, 1.5)
    assert request["loras"] == [{"name": "film.safetensors", "strength": 0.8}]


def test_what_is_wrong_with_a_row_is_told_with_its_row(service: Service, start: str) -> None:
    small = sent(service, a_mask(size=(64, 64), box=(0, 0, 9, 9)))
    items = [{"mask": sent(service, a_mask())}, {"mask": small}]
    body = {"items": items, "defaults": {"prompt": "an owl", "init_image": start, **SAME}}
    before = service.batch_counts()

    told = assert_problem(service.client.post(BATCHES, json=body), 422, "invalid_manifest")

    [error] = told["errors"]
    assert (error["loc"], error["code"]) == (["row", 2, "mask"], "mask_size")
    assert service.batch_counts() == before
    skipping = service.client.post(BATCHES, params={"skip_bad": "true"}, json=body)
    assert skipping.status_code == 202
    assert [one["row"] for one in skipping.json()["skipped"]] == [2]


def test_a_schedule_is_checked_with_its_files_and_writes_none(service: Service, start: str) -> None:
    small = sent(service, a_mask(size=(64, 64), box=(0, 0, 8, 8)))
    hole = sent(service, a_hole(box=(3, 3, 40, 40)))
    before = uploads(service)

    def asked(mask: str) -> Any:
        items = [{"prompt": "an owl", "init_image": start, "mask": mask, **SAME}]
        body = {"name": "nightly", "cron": "0 2 * * *", "batch": {"items": items}}
        return service.client.post(SCHEDULES, json=body)

    told = assert_problem(asked(small), 422, "invalid_manifest")
    assert [(one["loc"], one["code"]) for one in told["errors"]] == [
        (["row", 1, "mask"], "mask_size")
    ]
    assert asked(hole).status_code == 503  # nothing but Prefect is missing
    assert uploads(service) == before
