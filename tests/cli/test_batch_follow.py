from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import pytest

from cli.bulk.follow import AWAY, follow_batch, is_over, patiently, take_up
from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError
from tests.cli.scripted_batches import BATCH, ScriptedBatches, batch, serve_batches
from tests.harness.processes import free_port


@pytest.fixture
async def api() -> AsyncIterator[ScriptedBatches]:
    async with serve_batches(ScriptedBatches()) as api:
        yield api


@pytest.fixture
async def client(api: ScriptedBatches) -> AsyncIterator[ApiClient]:
    async with ApiClient(api.url) as client:
        yield client


@pytest.mark.parametrize(
    ("status", "change", "becomes"),
    [
        ("failed", "retry-failed", "queued"),
        ("cancelled", "retry-failed", "queued"),
        ("paused", "resume", "running"),
    ],
)
async def test_a_batch_that_stopped_goes_on(
    api: ScriptedBatches, client: ApiClient, status: str, change: str, becomes: str
) -> None:
    api.next = [batch(becomes)]
    document = await take_up(client, batch(status))
    assert (document["status"], api.changes) == (becomes, [change])


@pytest.mark.parametrize("status", ["queued", "running", "succeeded"])
async def test_a_batch_that_goes_on_or_is_made_is_left_alone(
    api: ScriptedBatches, client: ApiClient, status: str
) -> None:
    document = batch(status)
    assert await take_up(client, document) is document
    assert api.changes == []


async def test_what_is_being_cancelled_is_made_again_when_it_has_ended(
    api: ScriptedBatches, client: ApiClient
) -> None:
    api.next = [batch("cancelling"), batch("cancelled"), batch("queued")]
    document = await take_up(client, batch("cancelling"))
    assert (document["status"], api.changes) == ("queued", ["retry-failed"])


async def test_somebody_who_was_quicker_is_no_error(
    api: ScriptedBatches, client: ApiClient
) -> None:
    api.conflicts, api.now = True, batch("queued")
    assert (await take_up(client, batch("failed")))["status"] == "queued"


async def test_following_survives_what_passes(api: ScriptedBatches, client: ApiClient) -> None:
    shown: list[Mapping[str, Any]] = []
    api.next = [503, batch("running", running=1), 500, batch("failed", failed=4)]
    final = await follow_batch(client, batch("queued"), shown.append)
    assert final["status"] == "failed"
    assert [(each["status"], (each["waiting"] or {}).get("code")) for each in shown] == [
        ("queued", None),
        ("queued", AWAY),
        ("running", None),
        ("running", AWAY),
        ("failed", None),
    ]


async def test_a_batch_that_is_gone_is_told(api: ScriptedBatches, client: ApiClient) -> None:
    api.next = [404]
    with pytest.raises(ApiRefusedError):
        await follow_batch(client, batch("queued"), lambda _: None)


async def test_patience_ends() -> None:
    async with ApiClient(f"http://127.0.0.1:{free_port()}") as nobody:
        with pytest.raises(ApiUnreachableError):
            await patiently(partial(nobody.batch, BATCH), patience_s=0)


@pytest.mark.parametrize(
    ("document", "over"),
    [
        (batch("queued"), False),
        (batch("running", running=1), False),
        (batch("cancelling"), False),
        (batch("succeeded", succeeded=4), True),
        (batch("failed", failed=4), True),
        (batch("cancelled", cancelled=4), True),
        (batch("paused", code="paused"), False),
        (batch("paused", code="outside_window", running=1), False),
        (batch("paused", code="outside_window", waiting=3), True),
    ],
)
def test_it_is_over_when_nothing_goes_on_by_itself(document: dict[str, Any], over: bool) -> None:
    assert is_over(document) is over
