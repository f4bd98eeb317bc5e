"""Every operation by plain parameters, on models of several families: HTTP, the command, a table.

The model files have real headers and nothing else; whatever says what they are is the worker's.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image

from tests.cli.running import EASEL, environment
from tests.comfy.families.files import ROWS, Shapes, safetensors, whole
from tests.comfy.families.test_loras import generic, kohya
from tests.harness.batches import BATCHES
from tests.harness.generations import BASE
from tests.harness.shared_stack import shared
from tests.harness.waiting import wait_until
from tests.journeys.test_models import MODELS, RealFilesStack

pytestmark = pytest.mark.journey
FLUX: Final = "a.safetensors"
EDITING: Final = "b.safetensors"
SDXL: Final = "c.safetensors"
UPSCALER: Final = "4x-something.pth"
LORAS_OF: Final = {FLUX: "d.safetensors", EDITING: "e.safetensors", SDXL: "f.safetensors"}
"""The LoRA of each model; nothing is known by a name."""
FILES: Final[Mapping[tuple[str, str], Shapes]] = {
    ("checkpoints", "emulator-sd15.safetensors"): whole(ROWS["sd15"]),
    ("checkpoints", SDXL): whole(ROWS["sdxl"]),
    ("diffusion_models", FLUX): ROWS["flux1-dev"],
    ("diffusion_models", EDITING): ROWS["qwen-image-edit-2511"],
    ("loras", LORAS_OF[FLUX]): generic("double_blocks.0.img_mlp.0", 3072, 12288),
    ("loras", LORAS_OF[EDITING]): generic("transformer_blocks.0.img_mlp.net.0.proj", 3072, 12288),
    ("loras", LORAS_OF[SDXL]): kohya("input_blocks.4.1.transformer_blocks.0.attn2.to_k", 2048, 640),
    ("text_encoders", "clip_l.safetensors"): {},
    ("text_encoders", "t5xxl_fp16.safetensors"): {},
    ("text_encoders", "qwen_2.5_vl_7b_fp8_scaled.safetensors"): {},
    ("vae", "ae.safetensors"): {},
    ("vae", "qwen_image_vae.safetensors"): {},
    ("upscale_models", UPSCALER): {},
}
SMALL: Final = {"steps": 2}


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, prefect_database: Path, pytestconfig: pytest.Config
) -> Iterator[RealFilesStack]:
    stack = RealFilesStack(tmp_path_factory.mktemp("families"), prefect_database)
    for (folder, name), shapes in FILES.items():
        (stack.models / folder).mkdir(parents=True, exist_ok=True)
        (stack.models / folder / name).write_bytes(safetensors(shapes))
    with shared(stack, pytestconfig):
        wait_until(lambda: _families(stack) >= _KNOWN, "the model files to be known", within=120)
        yield stack


_KNOWN: Final = {
    (FLUX, "flux1-dev"),
    (EDITING, "qwen-image-edit-2511"),
    (SDXL, "sdxl"),
    (LORAS_OF[FLUX], "flux1"),
    (LORAS_OF[EDITING], "qwen-image"),
    (LORAS_OF[SDXL], "sdxl"),
}


def _families(stack: RealFilesStack) -> set[tuple[str, str | None]]:
    answer = stack.api.get(MODELS)
    if answer.status_code == 503:  # ComfyUI was not reached yet
        return set()
    assert answer.status_code == 200, answer.text
    return {(one["name"], one["family"]) for one in answer.json()["models"]}


def _picture(width: int, height: int, white: tuple[int, int, int, int] | None = None) -> bytes:
    """A picture; as a mask it is black with a white box."""
    image = Image.new("RGB", (width, height), (0, 0, 0) if white else (200, 90, 40))
    if white:
        image.paste((255, 255, 255), white)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _uploaded(stack: RealFilesStack, content: bytes) -> str:
    answer = stack.api.post(
        "/api/v1/uploads", content=content, headers={"Content-Type": "image/png"}
    )
    assert answer.status_code in {200, 201}, answer.text
    return f"upload:{answer.json()['upload_id']}"


def _requests(start: str, mask: str) -> dict[str, dict[str, Any]]:
    """One request of each kind, by what it is."""
    return {
        "flux": {
            "prompt": "a red fox",
            "model": FLUX,
            "loras": [{"name": LORAS_OF[FLUX], "strength": 0.8}],
            "width": 128,
            "height": 64,
            **SMALL,
        },
        "edit": {
            "workflow": "edit",
            "prompt": "make it snow",
            "model": EDITING,
            "reference_images": [start],
            "loras": [{"name": LORAS_OF[EDITING], "strength": 1}],
            **SMALL,
        },
        "sdxl": {
            "prompt": f"a castle <lora:{LORAS_OF[SDXL].removesuffix('.safetensors')}:0.5>",
            "model": SDXL,
            "width": 64,
            "height": 128,
            **SMALL,
        },
        "inpaint": {
            "workflow": "inpaint",
            "prompt": "a hat",
            "model": SDXL,
            "init_image": start,
            "mask": mask,
            "loras": [{"name": LORAS_OF[SDXL], "strength": 0.5}],
            **SMALL,
        },
        "upscale": {"workflow": "upscale", "init_image": start, "scale": 2, "model": UPSCALER},
    }


SIZES: Final = {"flux": (128, 64), "sdxl": (64, 128), "inpaint": (96, 80), "upscale": (192, 160)}


def _body(request: dict[str, Any]) -> dict[str, Any]:
    """A request for the API: flat for the default workflow, else its inputs by themselves."""
    inputs = {name: value for name, value in request.items() if name != "workflow"}
    return {"workflow": request["workflow"], "inputs": inputs} if "workflow" in request else inputs


def test_each_operation_by_http(stack: RealFilesStack) -> None:
    start = _uploaded(stack, _picture(96, 80))
    mask = _uploaded(stack, _picture(96, 80, white=(24, 24, 56, 48)))
    made = {}
    for kind, request in _requests(start, mask).items():
        created = stack.api.post(f"{BASE}/create", json=_body(request))
        assert created.status_code == 202, f"{kind}: {created.text}"
        made[kind] = stack.generation(created.json()["task_id"])
    for kind, generation in made.items():
        generation.wait_for("succeeded")
        [output] = generation.result()["outputs"]
        if kind in SIZES:
            assert (output["width"], output["height"]) == SIZES[kind], kind
    told = made["sdxl"].result()
    assert told["request"]["prompt"] == "a castle"
    inputs = told["request"]["inputs"] if "inputs" in told["request"] else told["request"]
    assert inputs["loras"] == [{"name": LORAS_OF[SDXL], "strength": 0.5}]
    assert [one["code"] for one in made["sdxl"].status()["warnings"]] == ["loras_from_prompt"]


def _cell(value: Any) -> str:
    """A value as a table or a command line has it."""
    return value if isinstance(value, str) else json.dumps(value)


def _easel(stack: RealFilesStack, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*EASEL, *arguments, "--json", "--api", str(stack.api.base_url)],
        env=environment(stack.home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def test_each_operation_by_the_command(stack: RealFilesStack, tmp_path: Path) -> None:
    (tmp_path / "start.png").write_bytes(_picture(96, 80))
    (tmp_path / "mask.png").write_bytes(_picture(96, 80, white=(24, 24, 56, 48)))
    files = f"@{tmp_path / 'start.png'}", f"@{tmp_path / 'mask.png'}"
    for kind, request in _requests(*files).items():
        given = dict(request)
        prompt = [given.pop("prompt")] if "prompt" in given else []
        workflow = ["--workflow", given.pop("workflow")] if "workflow" in given else []
        settings = [
            part
            for name, value in given.items()
            for part in (
                "--set",
                f"{name}={value if isinstance(value, str) else json.dumps(value)}",
            )
        ]
        out = tmp_path / kind
        [made] = _easel(stack, "generate", *prompt, *workflow, *settings, "--out", str(out))
        [file] = made["files"]
        with Image.open(file) as image:
            if kind in SIZES:
                assert image.size == SIZES[kind], kind


def test_a_folder_of_pictures_is_enlarged_by_one_command(
    stack: RealFilesStack, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for width in (40, 50, 60):
        (folder / f"{width}.png").write_bytes(_picture(width, 30))
    made = _easel(
        stack, "generate", "--workflow", "upscale", "--set", f"init_image=@{folder}/",
        "--set", "scale=2", "--out", str(tmp_path / "large"),
    )  # fmt: skip
    sizes = []
    for one in made:
        [file] = one["files"]
        with Image.open(file) as image:
            sizes.append(image.size)
    assert sorted(sizes) == [(80, 60), (100, 60), (120, 60)]


def test_each_of_them_in_one_table(stack: RealFilesStack) -> None:
    start = _uploaded(stack, _picture(96, 80))
    mask = _uploaded(stack, _picture(96, 80, white=(24, 24, 56, 48)))
    requests = {
        kind: request
        for kind, request in _requests(start, mask).items()
        if request.get("workflow") != "upscale"
    }
    names = sorted({name for request in requests.values() for name in request} - {"workflow"})
    table = io.StringIO()
    writer = csv.DictWriter(table, names)
    writer.writeheader()
    for request in requests.values():
        cells = {name: value for name, value in request.items() if name != "workflow"}
        writer.writerow({name: _cell(value) for name, value in cells.items()})
    created = stack.api.post(
        BATCHES, content=table.getvalue().encode(), headers={"Content-Type": "text/csv"}
    )
    assert created.status_code == 202, created.text
    batch = stack.batch(created.json()["batch_id"])
    assert batch.wait_for("succeeded")["counts"]["succeeded"] == len(requests)
