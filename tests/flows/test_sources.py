"""What a worker tells an API that does not reach its ComfyUI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from api.asking import asked
from comfy import ComfyClient
from comfy.emulator import Emulator
from flows.runtime import Runtime
from flows.sources import Answering, look_at_sources
from store.sources import SourceAnswer
from store.store import Store
from tests.contract.driving import wait_until
from tests.harness.faults import BlackHole, Rule
from tests.harness.proxy import FaultProxy


async def saved(emulator: Emulator, name: str, data: bytes) -> None:
    folder = emulator.user_dir / "workflows"
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread((folder / name).write_bytes, data)


@asynccontextmanager
async def answering(store: Store, client: ComfyClient) -> AsyncIterator[None]:
    answering = Answering(store, client)
    answering.start()
    try:
        yield
    finally:
        await answering.stop()


async def answered(store: Store, *requests: UUID) -> list[SourceAnswer]:
    """The answers of requests, when each has one."""

    async def all_have() -> bool:
        return len(await store.sources.answers(requests)) == len(requests)

    await wait_until(all_have)
    return [(await store.sources.answers([one]))[0] for one in requests]


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

    async with answering(store, runtime.session.client):
        assert await answered(store, *requests) == [
            SourceAnswer(data, "fox"),
            SourceAnswer(),
            SourceAnswer(),
            SourceAnswer(),
        ]


async def test_a_comfyui_that_is_away_is_said_to_be(
    runtime: Runtime, store: Store, emulator: Emulator
) -> None:
    [request] = await store.sources.ask([emulator.url], "saved:fox.json")
    await emulator.stop()

    async with answering(store, runtime.session.client):
        [answer] = await answered(store, request)

    assert answer.data is None
    assert answer.problem


async def test_a_file_that_takes_long_keeps_none_waiting(
    store: Store, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(emulator, "fox.json", b"{}")
    with FaultProxy(emulator.port) as line:
        stuck = line.add(Rule(BlackHole(), "GET", "/userdata/workflows%2Fowl"))
        client = ComfyClient(line.url)

        async def stuck_is_hit() -> bool:
            return bool(stuck.hits)

        [owl] = await store.sources.ask([line.url], "saved:owl.json")
        async with answering(store, client):
            await wait_until(stuck_is_hit)
            [fox] = await store.sources.ask([line.url], "saved:fox.json")
            assert await answered(store, fox) == [SourceAnswer(b"{}", "fox")]
            assert await store.sources.answers([owl]) == []

        line.add(Rule(BlackHole(), "GET", "/userdata/workflows%2Fowl"))
        monkeypatch.setattr("flows.sources.ANSWER_WITHIN_S", 0.3)
        async with answering(store, client):
            [answer] = await answered(store, owl)
        assert answer.problem == "ComfyUI did not answer within 0.3 s"
        await client.aclose()


async def test_a_request_is_answered_without_a_look(
    runtime: Runtime, store: Store, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own accord it would look in an hour."""
    await saved(emulator, "fox.json", b"{}")
    monkeypatch.setattr("flows.sources.ANSWER_EVERY_S", 3600.0)
    monkeypatch.setattr("flows.sources.HEARING_ANSWER_EVERY_S", 3600.0)
    monkeypatch.setattr("api.asking.HEARING_LOOK_S", 3600.0)
    async with answering(store, runtime.session.client):
        first = await asked(store.sources, [emulator.url], "saved:owl.json", 30)
        then = await asked(store.sources, [emulator.url], "saved:fox.json", 30)
    assert (first, then) == (SourceAnswer(), SourceAnswer(b"{}", "fox"))
