"""What a worker finds out of its ComfyUI's model files: everything once, then only what is new."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from comfy import ComfyClient, ComfyProtocolError, ComfyUnreachableError
from comfy.emulator import Emulator, EmulatorOptions
from comfy.families.models import ModelFile
from flows.models import kept_models, look_at_models
from store.models import KeptSetting
from store.store import Store
from tests.comfy.families.files import ROWS, SD15, SDXL, Shapes, gguf, prefixed, safetensors
from tests.harness.faults import Answer, Rule
from tests.harness.liar import Liar, says
from tests.harness.proxy import FaultProxy
from tests.harness.statements import statements_of

MODEL = "model.diffusion_model."
TOLD = {"ss_base_model_version": "sdxl_base_v1-0", "ss_network_module": "networks.lora"}
_LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
LORA: Shapes = {
    f"{_LAYER}.lora_down.weight": (4, 768),
    f"{_LAYER}.lora_up.weight": (320, 4),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("checkpoints", "loras", "diffusion_models", "controlnet", "vae"):
        (tmp_path / "models" / folder).mkdir(parents=True)
    return tmp_path / "models"


@pytest.fixture
async def client(root: Path) -> AsyncIterator[ComfyClient]:
    async with (
        Emulator(EmulatorOptions(step_time=0.0, models_dir=root)) as emulator,
        asking(emulator.url) as client,
    ):
        yield client


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[ComfyClient]:
    client = ComfyClient(url)
    try:
        yield client
    finally:
        await client.aclose()


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def changed_unseen(path: Path, content: bytes) -> None:
    """Replace what is in a file by as much, at the same time: only who reads it can tell."""
    about = path.stat()
    put(path, content + b" " * (about.st_size - len(content)))
    assert path.stat().st_size == about.st_size
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def writes(seen: list[str]) -> list[str]:
    return [one for one in seen if not one.startswith(("SELECT", "BEGIN", "PRAGMA"))]


async def found(store: Store, client: ComfyClient, name: str, folder: str) -> ModelFile:
    file = (await kept_models(store, client.base_url)).find(name, [folder])
    assert file is not None
    return file


async def test_files_are_known_by_their_headers(
    store: Store, client: ComfyClient, root: Path
) -> None:
    put(root / "checkpoints/a.safetensors", safetensors(prefixed(MODEL, SDXL)))
    put(root / "diffusion_models/b.safetensors", safetensors(ROWS["z-image"]))
    put(root / "loras/c.safetensors", safetensors({}, TOLD))
    put(root / "vae/flux1-dev.safetensors", safetensors(SDXL))

    await look_at_models(store, client)

    checkpoint = await found(store, client, "a.safetensors", "checkpoints")
    assert (checkpoint.family, checkpoint.reason) == ("sdxl", "header")
    assert (await found(store, client, "b.safetensors", "diffusion_models")).family == "z-image"
    lora = await found(store, client, "c.safetensors", "loras")
    assert (lora.family, lora.reason) == ("sdxl", "metadata")
    vae = await found(store, client, "flux1-dev.safetensors", "vae")
    assert vae == ModelFile("vae", "flux1-dev.safetensors")


async def test_later_looks_read_only_what_is_new_or_has_changed(
    store: Store, client: ComfyClient, root: Path
) -> None:
    same = put(root / "checkpoints/same.safetensors", safetensors(SDXL))
    other = put(root / "checkpoints/other.safetensors", safetensors(SDXL))
    await look_at_models(store, client)

    changed_unseen(same, safetensors(SD15))
    put(other, safetensors(SD15))
    put(root / "checkpoints/new.safetensors", safetensors(SD15))
    await look_at_models(store, client)

    known = (await kept_models(store, client.base_url)).in_folder("checkpoints")
    assert [(one.name, one.family) for one in known] == [
        ("new.safetensors", "sd15"),
        ("other.safetensors", "sd15"),
        ("same.safetensors", "sdxl"),
    ]


async def test_a_look_without_news_writes_nothing(
    store: Store, client: ComfyClient, root: Path
) -> None:
    for number in range(3):
        put(root / f"loras/{number}.safetensors", safetensors({}, TOLD))
    put(root / "vae/ae.safetensors", safetensors({}))
    await look_at_models(store, client)
    before = await store.models.digests()

    with statements_of(store.database) as seen:
        await look_at_models(store, client)

    assert writes(seen) == []
    assert await store.models.digests() == before


async def test_what_is_gone_is_forgotten(store: Store, client: ComfyClient, root: Path) -> None:
    put(root / "loras/stays.safetensors", safetensors({}, TOLD))
    goes = put(root / "loras/goes.safetensors", safetensors({}, TOLD))
    await look_at_models(store, client)
    goes.unlink()

    await look_at_models(store, client)

    known = await kept_models(store, client.base_url)
    assert [one.name for one in known.in_folder("loras")] == ["stays.safetensors"]


async def test_two_thousand_loras_are_read_once(
    store: Store, client: ComfyClient, root: Path
) -> None:
    content = safetensors({}, TOLD)
    files = [put(root / f"loras/{number:04}.safetensors", content) for number in range(2_000)]

    with statements_of(store.database) as seen:
        await look_at_models(store, client)

    known = (await kept_models(store, client.base_url)).in_folder("loras")
    assert {one.family for one in known} == {"sdxl"}
    assert len(known) == 2_000
    # Some at a time: neither one transaction for each, nor all in memory.
    assert len([one for one in seen if "INSERT INTO model_digests" in one]) == 20

    for file in files:
        changed_unseen(file, safetensors({}, {}))
    await look_at_models(store, client)
    known = (await kept_models(store, client.base_url)).in_folder("loras")
    assert {one.family for one in known} == {"sdxl"}


def elsewhere(root: Path) -> dict[str, str]:
    """What a ComfyUI says whose folders are not on this machine."""
    listed = '[{"name": "%s", "pathIndex": 0, "size": 4000, "modified": 1.0}]'
    return {
        "GET /experiment/models": f'[{{"name": "loras", "folders": ["{root / "away"}"]}}]',
        "GET /experiment/models/loras": listed % "a.safetensors",
        "GET /experiment/models/checkpoints": listed % "sd_xl_base_1.0.safetensors",
        "GET /view_metadata/loras": '{"ss_base_model_version": "sdxl_base_v1-0"}',
    }


async def test_of_a_comfyui_elsewhere_the_metadata_are_asked_once(store: Store, root: Path) -> None:
    answers = {path: says(text) for path, text in elsewhere(root).items()}
    async with Liar(answers) as liar, asking(liar.url) as client:
        for _ in range(3):
            await look_at_models(store, client)

        assert liar.asked["GET /view_metadata/loras"] == 1
        assert liar.asked["GET /view_metadata/checkpoints"] == 1
        lora = await found(store, client, "a.safetensors", "loras")
        assert (lora.family, lora.reason) == ("sdxl", "metadata")
        checkpoint = await found(store, client, "sd_xl_base_1.0.safetensors", "checkpoints")
        assert (checkpoint.family, checkpoint.reason) == ("sdxl", "name")


async def test_a_folder_that_comes_to_this_machine_is_read_there(store: Store, root: Path) -> None:
    content = safetensors(LORA)
    told = elsewhere(root) | {
        "GET /experiment/models/loras": (
            f'[{{"name": "a.safetensors", "pathIndex": 0, "size": {len(content)}}}]'
        )
    }
    async with (
        Liar({path: says(text) for path, text in told.items()}) as liar,
        asking(liar.url) as client,
    ):
        await look_at_models(store, client)
        assert (await found(store, client, "a.safetensors", "loras")).reason == "metadata"

        (root / "away").mkdir()
        put(root / "away/a.safetensors", content)
        await look_at_models(store, client)
        here = await found(store, client, "a.safetensors", "loras")

        # A worker on another machine does not undo it.
        put(root / "away/a.safetensors", b"").unlink()
        (root / "away").rmdir()
        await look_at_models(store, client)
        assert await found(store, client, "a.safetensors", "loras") == here
        assert liar.asked["GET /view_metadata/loras"] == 1


async def test_gguf_files_that_are_listed_by_name_are_read_and_read_again(
    store: Store, root: Path
) -> None:
    places = f'["{root / "diffusion_models"}"]'
    told = {
        "GET /experiment/models": (
            f'[{{"name": "diffusion_models", "folders": {places}}}, '
            f'{{"name": "unet_gguf", "folders": {places}}}]'
        ),
        "GET /experiment/models/diffusion_models": "[]",
        "GET /models/unet_gguf": '["a.gguf"]',
    }
    flux = {"general.architecture": "flux"}
    file = put(root / "diffusion_models/a.gguf", gguf(ROWS["flux1-dev"], flux))
    async with (
        Liar({path: says(text) for path, text in told.items()}) as liar,
        asking(liar.url) as client,
    ):
        await look_at_models(store, client)
        assert (await found(store, client, "a.gguf", "diffusion_models")).family == "flux1-dev"

        with statements_of(store.database) as seen:
            await look_at_models(store, client)
        assert writes(seen) == []

        put(file, gguf(ROWS["flux1-schnell"], flux))
        await look_at_models(store, client)
        model = await found(store, client, "a.gguf", "diffusion_models")
        assert (model.family, model.reason) == ("flux1-schnell", "header")


async def test_an_answer_that_fails_half_way_takes_nothing_away(
    store: Store, client: ComfyClient, root: Path
) -> None:
    checkpoint = put(root / "checkpoints/a.safetensors", safetensors(SDXL))
    lora = put(root / "loras/b.safetensors", safetensors({}, TOLD))
    with FaultProxy(int(client.base_url.rpartition(":")[2])) as line:
        async with asking(line.url) as through:
            await look_at_models(store, through)
            checkpoint.unlink()
            lora.unlink()
            line.add(Rule(Answer(502), "GET", "/experiment/models/loras"))
            with pytest.raises(ComfyProtocolError):
                await look_at_models(store, through)
            assert len((await kept_models(store, line.url)).files) == 2

            await look_at_models(store, through)
            assert (await kept_models(store, line.url)).files == {}


async def test_a_comfyui_that_is_away_is_no_reason_to_forget(store: Store, root: Path) -> None:
    put(root / "checkpoints/a.safetensors", safetensors(SDXL))
    async with (
        Emulator(EmulatorOptions(models_dir=root)) as emulator,
        asking(emulator.url) as client,
    ):
        await look_at_models(store, client)
    async with asking(emulator.url) as client:
        with pytest.raises(ComfyUnreachableError):
            await look_at_models(store, client)
        known = await found(store, client, "a.safetensors", "checkpoints")
        assert known.family == "sdxl"


async def test_the_owner_s_word_counts_first_and_also_for_what_nobody_listed(
    store: Store, client: ComfyClient, root: Path
) -> None:
    put(root / "checkpoints/a.safetensors", safetensors(SDXL))
    await look_at_models(store, client)
    await store.models.set(KeptSetting("checkpoints", "a.safetensors", "sd15", vae="ae.sft"))
    await store.models.set(KeptSetting("checkpoints", "later.safetensors", "sdxl"))

    known = await kept_models(store, client.base_url)

    here = known.find("a.safetensors")
    assert here is not None
    assert (here.family, here.reason, here.vae) == ("sd15", "setting", "ae.sft")
    later = known.find("later.safetensors")
    assert later is not None
    assert (later.family, later.reason) == ("sdxl", "setting")

    await store.models.set(KeptSetting("checkpoints", "a.safetensors"))
    assert (await found(store, client, "a.safetensors", "checkpoints")).reason == "header"


async def test_what_is_kept_is_read_when_it_changes(
    store: Store, client: ComfyClient, root: Path
) -> None:
    put(root / "checkpoints/a.safetensors", safetensors(SDXL))
    await look_at_models(store, client)

    with statements_of(store.database) as seen:
        first = await kept_models(store, client.base_url)
        assert await kept_models(store, client.base_url) is first
    assert len([one for one in seen if "model_files.data" in one]) == 1
