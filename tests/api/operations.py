"""A service whose ComfyUI has files for every operation, and pictures to send to it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image as Pillow

from tests.api.conftest import shared_service
from tests.api.service import CREATE, Backstage, Comfy, Service, assert_problem

UPLOADS: Final = "/api/v1/uploads"
SD15: Final = "painter-v1-5.safetensors"
XL: Final = "painter-xl.safetensors"
FLUX: Final = "flux1-dev.safetensors"
FLUX_LORA: Final = "flux-film.safetensors"
UPSCALER: Final = "4x-UltraSharp.pth"
FILES: Final = {
    "diffusion_models": (FLUX,),
    "text_encoders": ("clip_l.safetensors", "t5xxl_fp16.safetensors"),
    "vae": ("ae.safetensors", "qwen_image_vae.safetensors"),
    "loras": (FLUX_LORA, "film.safetensors"),
    "upscale_models": (UPSCALER,),
}
SIZE: Final = (512, 384)


@contextmanager
def operating_service(home: Path) -> Iterator[Service]:
    with (
        Backstage() as backstage,
        Comfy(backstage, FILES) as comfy,
        shared_service(backstage, comfy, home) as service,
    ):
        for file, family in ((f"checkpoints/{SD15}", "sd15"), (f"loras/{FLUX_LORA}", "flux1")):
            told = service.client.put(f"/api/v1/models/{file}", json={"family": family})
            assert told.status_code == 200, told.text
        yield service


def a_picture(mode: str = "RGB", size: tuple[int, int] = SIZE, colour: str = "teal") -> bytes:
    return _png(Pillow.new(mode, size, colour))


def a_mask(
    size: tuple[int, int] = SIZE, box: tuple[int, int, int, int] = (64, 64, 128, 192)
) -> bytes:
    """A grey one: white is to be changed."""
    picture = Pillow.new("L", size)
    picture.paste(255, box)
    return _png(picture)


def a_hole(
    size: tuple[int, int] = SIZE, box: tuple[int, int, int, int] = (64, 64, 128, 192)
) -> bytes:
    """The same as a picture: what is transparent is to be changed."""
    picture = Pillow.new("RGBA", size, "teal")
    picture.paste((0, 0, 0, 0), box)
    return _png(picture)


def _png(picture: Pillow.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def sent(service: Service, data: bytes, name: str = "fox.png") -> str:
    """Send a file. Returns what an input says to take it."""
    answered = service.client.post(UPLOADS, files={"file": (name, data)})
    assert answered.status_code in (200, 201), answered.text
    return f"upload:{answered.json()['upload_id']}"


def picture_of(service: Service, reference: str) -> Pillow.Image:
    content = service.get(f"{UPLOADS}/{reference.removeprefix('upload:')}").content
    picture = Pillow.open(io.BytesIO(content))
    picture.load()
    return picture


def refused(service: Service, code: str, *loc: str | int, **fields: Any) -> str:
    """What is said of a request that has this problem at this place. Nothing of it is kept."""
    before = service.count()
    told = assert_problem(service.client.post(CREATE, json=fields), 422, "invalid_request")
    found = {(tuple(one["loc"]), one["code"]): one["message"] for one in told["errors"]}
    assert (loc, code) in found, found
    assert service.count() == before
    return str(found[(loc, code)])


def uploads(service: Service) -> int:
    """How many uploads were ever kept."""
    return service.count("uploads")
