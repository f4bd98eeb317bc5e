"""Files that are much larger than a picture: streamed, never held in memory as a whole."""

from __future__ import annotations

import hashlib
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from store.artefacts.files import SLICE_BYTES
from tests.api.service import Service, assert_problem, png
from tests.harness.processes import Process, environment, free_port
from tests.harness.waiting import wait_until

SMALL: Final = png() + bytes(3 * SLICE_BYTES)
"""Of several slices too: what these take is taken before the big one is asked for."""
BIG: Final = png() + random.Random(3).randbytes(64_000_000)
"""A picture to Pillow, which does not read what comes behind its end."""
GROWS_AT_MOST: Final = 16_000_000


@dataclass(frozen=True)
class Kept:
    service: Service
    small: str
    big: str


@pytest.fixture(scope="module")
def kept(service: Service) -> Kept:
    urls = []
    for data in (SMALL, BIG):
        task_id = service.created()
        service.worker.finish(task_id, data)
        (document,) = service.get(service.of(task_id, "result")).json()["images"]
        urls.append(document["url"].removeprefix(service.url))
    return Kept(service, *urls)


def test_the_whole(kept: Kept) -> None:
    response = kept.service.get(kept.big)

    assert response.status_code == 200
    assert response.headers["content-length"] == str(len(BIG))
    assert hashlib.sha256(response.content).digest() == hashlib.sha256(BIG).digest()


@pytest.mark.parametrize(
    "part",
    [
        slice(SLICE_BYTES - 1, SLICE_BYTES + 1),
        slice(10, 3 * SLICE_BYTES + 10),
        slice(len(BIG) - SLICE_BYTES - 5, len(BIG)),
    ],
)
def test_parts_of_several_slices(kept: Kept, part: slice) -> None:
    wanted = {"Range": f"bytes={part.start}-{part.stop - 1}"}
    response = kept.service.get(kept.big, headers=wanted)

    assert response.status_code == 206
    assert response.content == BIG[part]
    assert response.headers["content-range"] == f"bytes {part.start}-{part.stop - 1}/{len(BIG)}"


@pytest.fixture
def alone(kept: Kept, tmp_path: Path) -> Iterator[Process]:
    """Another API on the same store, in a process of its own; ``name`` is its address."""
    port, settings = free_port(), kept.service.settings
    env = environment(
        EASEL_HOME=str(settings.home),
        EASEL_COMFY__URL=str(settings.comfy.url),
        EASEL_PREFECT__API_URL=settings.prefect_api_url,
        PREFECT_API_URL=settings.prefect_api_url,
        PREFECT_HOME=str(tmp_path / "prefect"),
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
    )
    command = [sys.executable, "-m", "uvicorn", "api.app:create_app", "--factory"]
    command += ["--port", str(port), "--no-access-log", "--timeout-graceful-shutdown", "1"]
    process = Process(f"127.0.0.1:{port}", command, env, tmp_path)
    process.start()
    try:
        wait_until(lambda: answers(process) or not process.is_running, within=120)
        assert process.is_running, process.tail()
        yield process
    finally:
        process.terminate()


def answers(process: Process) -> bool:
    try:
        return httpx.get(f"http://{process.name}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def peak_memory(process: Process) -> int:
    """The most bytes of memory that the process ever had."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_holds_slices_only(kept: Kept, alone: Process) -> None:
    url = f"http://{alone.name}"
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        for _ in range(10):  # what the first answers load is loaded
            assert client.get(kept.small).content == SMALL
        before = peak_memory(alone)

        assert client.get(kept.big).content == BIG
        part = client.get(kept.big, headers={"Range": "bytes=1000000-"})
        assert part.content == BIG[1_000_000:]
        assert peak_memory(alone) - before < GROWS_AT_MOST

        with client.stream("GET", kept.big) as response:  # by a client that does not read on
            next(response.iter_bytes(100_000))
            for _ in range(20):
                assert client.get(kept.small).content == SMALL
        assert peak_memory(alone) - before < GROWS_AT_MOST


def test_a_file_that_goes_meanwhile_cuts_the_answer(kept: Kept) -> None:
    service = kept.service
    task_id = service.created()
    (image,) = service.worker.finish(task_id, BIG)
    (document,) = service.get(service.of(task_id, "result")).json()["images"]

    with service.client.stream("GET", document["url"]) as response:
        assert response.status_code == 200
        (Path(service.images_folder) / image.path).unlink()
        with pytest.raises(httpx.RemoteProtocolError):
            response.read()

    assert_problem(service.get(document["url"]), 503, "not_available")
