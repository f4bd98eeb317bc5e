"""Every operation by HTTP: what is accepted and what it becomes, and what is not."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

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
)
from tests.api.service import BATCHES, CREATE, SCHEDULES, Service, assert_problem

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


def uploads(service: Service) -> int:
    return service.count("uploads")


# --- what is accepted


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


# --- what is not accepted


def test_a_file_that_is_no_picture(service: Service, mask: str) -> None:
    text = sent(service, b"hello", "notes.txt")
    said = refused(service, "wrong_kind", "init_image", prompt="an owl", init_image=text, **SAME)
    assert "image" in said
    answered = service.client.post(UPLOADS, files={"file": ("fox.png", b"hello")})
    assert_problem(answered, 415, "unsupported_media_type")
    broken = a_picture()[:200]
    assert_problem(
        service.client.post(UPLOADS, files={"file": ("fox.png", broken)}), 422, "invalid_request"
    )


def a_bomb(width: int, height: int) -> bytes:
    """A file of some kilobytes that says it has so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(18_000, 18_000), (1, 100_000), (100_000, 1)])
def test_a_bomb(service: Service, size: tuple[int, int]) -> None:
    before = uploads(service)
    answered = service.client.post(UPLOADS, files={"file": ("fox.png", a_bomb(*size))})
    told = assert_problem(answered, 413, "payload_too_large")
    assert "EASEL_UPLOADS__PIXELS" in told["detail"]
    assert uploads(service) == before


def test_a_mask_of_another_size(service: Service, start: str) -> None:
    other = sent(service, a_mask(size=(256, 256)))
    said = refused(
        service, "mask_size", "mask", prompt="an owl", init_image=start, mask=other, **SAME
    )
    assert "256 × 256" in said
    assert "512 × 384" in said


def test_an_empty_mask(service: Service, start: str) -> None:
    black = sent(service, a_picture("L", colour="black"))
    said = refused(
        service, "empty_mask", "mask", prompt="an owl", init_image=start, mask=black, **SAME
    )
    assert "mask_invert" in said


def test_a_strength_out_of_range(service: Service) -> None:
    loras = [{"name": "film.safetensors"}, {"name": FLUX_LORA, "strength": 21}]
    told = service.client.post(CREATE, json={"prompt": "a fox", "loras": loras}).json()
    [error] = told["errors"]
    assert error["loc"] == ["loras", 1, "strength"]
    assert "20" in error["message"]


def test_files_that_are_gone(service: Service, start: str) -> None:
    gone = sent(service, a_picture(colour="gold"))
    service.client.delete(f"{UPLOADS}/{gone.removeprefix('upload:')}")
    for code, reference in (
        ("upload_expired", gone),
        ("unknown_upload", f"upload:{'0' * 64}"),
        ("unknown_artefact", f"artefact:{uuid4()}"),
    ):
        refused(service, code, "init_image", prompt="an owl", init_image=reference, **SAME)
        refused(service, code, "mask", prompt="an owl", init_image=start, mask=reference, **SAME)


def test_an_artefact_of_a_deleted_generation(service: Service) -> None:
    task_id = service.created()
    [artefact] = service.worker.finish(task_id, a_picture())
    assert service.client.delete(f"/api/v1/generation/{task_id}").status_code == 204
    reference = f"artefact:{artefact.id}"
    refused(service, "unknown_artefact", "init_image", prompt="an owl", init_image=reference)


def test_a_mask_whose_file_is_lost(service: Service, start: str) -> None:
    reference = sent(service, a_mask(box=(1, 1, 30, 30)))
    store = service.worker.store
    upload = service.worker.run(store.uploads.get(reference.removeprefix("upload:")))
    service.worker.run(store.files.remove_file(upload.path))
    said = refused(
        service, "file_gone", "mask", prompt="an owl", init_image=start, mask=reference, **SAME
    )
    assert "send it again" in said


def test_a_vae_of_another_family(service: Service) -> None:
    said = refused(
        service, "excluded", "vae", prompt="a fox", model=FLUX, vae="qwen_image_vae.safetensors"
    )
    assert "Flux" in said


@pytest.mark.parametrize(
    ("loc", "code", "given"),
    [
        ("mask", "excluded", {"mask": "$mask", "outpaint": {"left": 64}}),
        ("width", "excluded", {"mask": "$mask", "width": 512}),
        ("height", "excluded", {"outpaint": {"left": 64}, "height": 512}),
        ("outpaint", "nothing_added", {"outpaint": {}}),
    ],
)
def test_operations_that_exclude_each_other(
    service: Service, start: str, mask: str, loc: str, code: str, given: dict[str, Any]
) -> None:
    told = json.loads(json.dumps(given).replace("$mask", mask))
    refused(service, code, loc, prompt="an owl", init_image=start, **SAME, **told)


def test_what_needs_a_start_image(service: Service, mask: str) -> None:
    refused(service, "needs_input", "mask", prompt="an owl", mask=mask, **SAME)
    refused(service, "needs_input", "denoise", prompt="an owl", denoise=0.5, **SAME)
    refused(service, "missing", "init_image", prompt="an owl", workflow="img2img", **SAME)


def test_reference_images_for_a_model_that_does_not_edit(service: Service, start: str) -> None:
    refused(
        service, "cannot_edit", "reference_images",
        prompt="an owl", workflow="edit", reference_images=[start], **SAME,
    )  # fmt: skip
