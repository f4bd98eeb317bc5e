"""Outputs that are announced before they are kept: in the row, until another attempt begins."""

from __future__ import annotations

from store.store import Store
from store.values import Claim, Generation, ProgressRecord, RenderedOutput
from tests.store.making import accepted, claimed

FOX = RenderedOutput("image", "fox.png", "http://comfy")
OWL = RenderedOutput("video", "owl.mp4", "http://comfy")


async def announced(store: Store, *outputs: RenderedOutput) -> Claim:
    claim = await claimed(store, (await accepted(store)).id)
    progress = ProgressRecord(50.0, rendered=outputs)
    await store.transitions.record_progress(claim, progress, None, None)
    return claim


async def now(store: Store, claim: Claim) -> Generation:
    return await store.generations.get(claim.generation_id)


async def test_they_are_read_as_they_were_announced(store: Store) -> None:
    claim = await announced(store, OWL, FOX)

    progress = (await now(store, claim)).progress

    assert progress is not None
    assert progress.rendered == (OWL, FOX)


async def test_a_success_says_which_artefact_each_became(store: Store) -> None:
    claim = await announced(store, OWL, FOX)

    await store.transitions.succeed(claim, [], filenames=["fox.png", "another.png"])

    progress = (await now(store, claim)).progress
    assert progress is not None
    assert [(one.filename, one.position) for one in progress.rendered] == [
        ("owl.mp4", None),
        ("fox.png", 0),
    ]


async def test_another_attempt_begins_without_them(store: Store) -> None:
    claim = await announced(store, FOX)
    await store.transitions.request_cancel(claim.generation_id)
    await store.transitions.cancelled(claim)

    await store.transitions.retry(claim.generation_id)

    assert (await now(store, claim)).progress is None
