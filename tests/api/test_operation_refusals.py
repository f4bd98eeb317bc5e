"""What the operations are asked for and cannot do: told clearly, and nothing is lost."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.api.operations import (
    FLUX,
    FLUX_LORA,
    SD15,
    UPLOADS,
    a_mask,
    a_picture,
    operating_service,
    refused,
    sent,
    uploads,
)
from tests.api.service import CREATE, Service, assert_problem

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
    assert "mask is 256 × 256 pixels, the image 512 × 384: both must have one size" in said


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
