"""What a worker tells an API that does not reach its ComfyUI."""

from __future__ import annotations

import asyncio
import json

from comfy.emulator import Emulator
from flows.runtime import Runtime
from flows.sources import answer_requests, look_at_sources
from store.sources import SourceAnswer
from store.store import Store


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
