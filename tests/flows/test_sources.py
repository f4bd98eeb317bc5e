"""What a worker tells an API that does not reach its ComfyUI."""

from __future__ import annotations

import asyncio
import json

import pytest

from comfy import ComfyClient
from comfy.emulator import Emulator
from flows.runtime import Runtime
from flows.sources import answer_requests, look_at_sources
from store.sources import SourceAnswer
from store.store import Store
from tests.contract.driving import wait_until
from tests.harness.faults import BlackHole, Rule
from tests.harness.proxy import FaultProxy


async def saved(emulator: Emulator, name: str, data: bytes) -> None:
    folder = emulator.user_dir / "workflows"
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread((folder / name).write_bytes, data)


async def test_the_worker_keeps_what_its_comfyui_offers(
    runtime: Runtime, store: Store, emulator: Emulator
) -> None:
    await saved(emulator, "fox.json", b"{}")

    await look_at_sources(store, runtime.session.client)

    kept = (await store.sources.kept([emulator.url]))[emulator.url]
    [fox] = [one for one in kept if one["kind"] == "saved"]
    assert (fox["name"], fox["title"]) == ("fox.json", "fox")


async def test_the_worker_fetches_what_is_asked_for(
    runtime: Runtime, store: Store, emulator: Emulator
) -> None:
    data = json.dumps({"nodes": []}).encode()
    await saved(emulator, "fox.json", data)
    names = ("saved:fox.json", "saved:../../fox.json", "saved:owl.json", "http://canary")
    requests = [(await store.sources.ask([emulator.url], name))[0] for name in names]

    await answer_requests(store, runtime.session.client)

    assert [await store.sources.answers([one]) for one in requests] == [
        [SourceAnswer(data, "fox")],
        [SourceAnswer()],
        [SourceAnswer()],
        [SourceAnswer()],
    ]


async def test_a_comfyui_that_is_away_is_said_to_be(
    runtime: Runtime, store: Store, emulator: Emulator
) -> None:
    [request] = await store.sources.ask([emulator.url], "saved:fox.json")
    await emulator.stop()

    await answer_requests(store, runtime.session.client)

    [answer] = await store.sources.answers([request])
    assert answer.data is None
    assert answer.problem


async def test_a_file_that_takes_long_keeps_none_waiting(
    store: Store, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(emulator, "fox.json", b"{}")
    with FaultProxy(emulator.port) as line:
        stuck = line.add(Rule(BlackHole(), "GET", "/userdata/workflows%2Fowl"))
        client = ComfyClient(line.url)
        [owl] = await store.sources.ask([line.url], "saved:owl.json")
        [fox] = await store.sources.ask([line.url], "saved:fox.json")
        answering = asyncio.create_task(answer_requests(store, client))

        async def has_fox() -> bool:
            return bool(await store.sources.answers([fox]))

        await wait_until(has_fox)
        assert await store.sources.answers([fox]) == [SourceAnswer(b"{}", "fox")]
        assert await store.sources.answers([owl]) == []
        answering.cancel()
        await asyncio.wait([answering])
        assert stuck.hits

        line.add(Rule(BlackHole(), "GET", "/userdata/workflows%2Fowl"))
        monkeypatch.setattr("flows.sources.ANSWER_WITHIN_S", 0.3)
        await answer_requests(store, client)

        [answer] = await store.sources.answers([owl])
        assert answer.problem == "ComfyUI did not answer within 0.3 s"
        await client.aclose()
