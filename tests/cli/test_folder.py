"""`easel generate` with a folder of pictures: one batch of a real API, an item for each."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from PIL import Image as Pillow

from tests.api.conftest import shared_service
from tests.api.service import Backstage, Comfy, Service, png
from tests.cli.running import Ended, easel, started
from tests.comfy.data import TWIN
from tests.harness.waiting import wait_until


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with (
        Backstage() as backstage,
        Comfy(backstage) as comfy,
        shared_service(backstage, comfy, tmp_path_factory.mktemp("home")) as service,
    ):
        backstage.run(service.worker.store.workflows.add(TWIN))
        yield service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of different widths, and what is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, width in (("10", 50), ("2", 40), ("1", 30)):
        buffer = io.BytesIO()
        Pillow.new("RGB", (width, 20), "red").save(buffer, "PNG")
        (folder / f"fox {number}.png").write_bytes(buffer.getvalue())
    (folder / "notes.txt").write_text("hello")
    (folder / "broken.png").write_bytes(b"hello")
    (folder / ".hidden.png").write_bytes(png())
    return folder


def batches(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get("/api/v1/batches").json()["items"]
    return found


def arguments(service: Service, folder: Path, *more: str) -> tuple[str, ...]:
    given = ("--workflow", "twin", "--set", f"image=@{folder}/", "--api", service.url)
    return ("generate", *given, "--out", str(folder.parent / "out"), *more)


def new_batch(service: Service, before: int) -> UUID:
    wait_until(lambda: len(batches(service)) > before)
    return UUID(batches(service)[0]["batch_id"])


async def made(service: Service, folder: Path, *more: str, failing: int = -1) -> Ended:
    """Run the command, and be the worker that carries its batch out."""
    before = len(batches(service))
    command = asyncio.create_task(easel(*arguments(service, folder, *more), home=folder.parent))
    batch_id = await asyncio.to_thread(new_batch, service, before)
    total = service.batch(batch_id)["total"]

    def work() -> None:
        for at, task_id in enumerate(service.worker.begin_batch(batch_id, total)):
            claim = service.worker.start(task_id)
            if at == failing:
                service.worker.fail(claim)
            else:
                service.worker.succeed(claim)
        service.worker.end_batch(batch_id, "failed" if failing >= 0 else "succeeded")

    await asyncio.to_thread(work)
    return await command


async def test_a_row_for_each_picture_in_natural_order(service: Service, folder: Path) -> None:
    ended = await made(service, folder)

    assert ended.code == 0, ended.err
    out = folder.parent / "out"
    names = ["00001-fox-1.png", "00002-fox-2.png", "00003-fox-10.png"]
    assert ended.out.splitlines() == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == names
    assert "image does not take it: broken.png, notes.txt" in ended.err
    batch, *_ = batches(service)
    items = service.items(UUID(batch["batch_id"]))
    sent = [service.get(f"/api/v1/uploads/{one['request']['image'][7:]}") for one in items]
    widths = [Pillow.open(io.BytesIO(one.content)).width for one in sent]
    assert widths == [30, 40, 50]
    assert {one["request"]["workflow"] for one in items} == {"twin"}


async def test_json_has_the_result_of_each(service: Service, folder: Path) -> None:
    ended = await made(service, folder, "--json", failing=1)

    assert ended.code == 1
    found = json.loads(ended.out)
    assert [len(one["files"]) for one in found] == [1, 0, 1]
    assert [one["result"] is not None for one in found] == [True, False, True]
    assert found[1]["problem"]["code"]
    assert found[0]["result"]["task_id"] == found[0]["task_id"]


async def test_several_of_each(service: Service, folder: Path) -> None:
    ended = await made(service, folder, "--count", "2")

    assert ended.code == 0, ended.err
    assert [Path(line).name for line in ended.out.splitlines()] == [
        "00001-fox-1.png",
        "00002-fox-1.png",
        "00003-fox-2.png",
        "00004-fox-2.png",
        "00005-fox-10.png",
        "00006-fox-10.png",
    ]


async def test_ctrl_c_cancels_the_batch(service: Service, folder: Path) -> None:
    before = len(batches(service))
    async with started(*arguments(service, folder), home=folder.parent) as command:
        await command.until("to generate", 60)
        batch_id = await asyncio.to_thread(new_batch, service, before)
        command.process.send_signal(signal.SIGINT)
        assert await command.ends(30) == 130

    assert service.batch(batch_id)["status"] in ("cancelling", "cancelled")


async def test_a_folder_without_pictures(service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "notes.txt").write_text("hello")
    before = len(batches(service))

    ended = await easel(*arguments(service, folder), home=tmp_path)

    assert ended.code == 2
    assert "none of the files" in ended.err
    assert len(batches(service)) == before


async def test_what_is_wrong_with_a_row_is_told(service: Service, folder: Path) -> None:
    before = len(batches(service))

    ended = await easel(*arguments(service, folder, "--timeout", "0"), home=folder.parent)

    assert ended.code == 2
    assert "timeout_s" in ended.err
    assert len(batches(service)) == before
