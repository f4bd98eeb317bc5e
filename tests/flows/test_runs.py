"""What a flow run is called, tagged and told; nothing secret in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from flows.errors import PrefectUnavailableError
from flows.prefect.runs import (
    NAME_MAX,
    FlowRuns,
    batch_run_name,
    idempotency_key,
    parse_idempotency_key,
    public,
    run_name,
    run_tags,
    translated,
)
from store.store import Store
from store.values import Membership
from tests.comfy.data import resolved
from tests.harness.databases import a_store
from tests.store.making import taken


def test_an_idempotency_key_says_which_attempt_the_run_is_for() -> None:
    generation_id = uuid4()
    key = idempotency_key(generation_id, 3)
    assert parse_idempotency_key(key) == (generation_id, 3)
    assert key != idempotency_key(generation_id, 4)


@pytest.mark.parametrize(
    "key",
    [None, "", "nonsense", "scheduled 2026-01-01", "0b5d0b0e-5f3c-4c4e-9a59-0d1c2f1f6c11", ":1"],
)
def test_a_key_that_easel_did_not_make_says_nothing(key: str | None) -> None:
    assert parse_idempotency_key(key) is None


def test_the_run_of_a_batch_is_named_like_it_on_one_short_line() -> None:
    assert batch_run_name("  red\n\tfoxes ") == "red foxes"
    assert batch_run_name("x" * NAME_MAX) == "x" * NAME_MAX
    long = batch_run_name("x" * (NAME_MAX + 1))
    assert len(long) == NAME_MAX
    assert long.endswith("…")


def test_the_run_of_a_generation_is_named_by_its_id() -> None:
    made = uuid4()
    assert run_name(made, 1) == str(made)
    assert run_name(made, 2) == f"{made} attempt 2"
    item = Membership(uuid4(), "red foxes", position=2, total=20)
    assert run_name(made, 1, item) == f"red foxes 3/20: {made}"


def test_runs_can_be_filtered_by_workflow_model_and_priority() -> None:
    assert run_tags(resolved(priority="bulk")) == ["txt2img", "sd15.safetensors", "bulk"]


def test_operators_see_neither_the_callback_nor_the_clients_labels() -> None:
    shown = public(resolved(metadata={"customer": "a secret"}))
    assert set(resolved().model_dump()) - set(shown) == {"callback_url", "metadata"}
    assert "a secret" not in str(shown)


async def test_those_accepted_together_have_their_turns_in_their_order(tmp_path: Path) -> None:
    """Prefect orders runs by time, and one transaction has one time."""
    async with Store(a_store(tmp_path / "easel.db"), str(tmp_path)) as store:
        accepted = await asyncio.gather(*(store.acceptance.accept(resolved()) for _ in range(20)))
        turns = {d.subject: d.created_at for d in await taken(store)}
    in_order = [a.generation for a in sorted(accepted, key=lambda a: a.generation.seq)]
    assert len({turns[g.id] for g in in_order}) == 20
    assert [turns[g.id] for g in in_order] == sorted(turns.values())


async def test_prefect_that_does_not_listen_is_told_from_prefect_that_refuses() -> None:
    async with FlowRuns("http://127.0.0.1:9/api") as runs:  # the discard port: nobody listens
        with pytest.raises(PrefectUnavailableError, match="isn't answering"):
            await runs.start(uuid4(), 1, resolved())
        assert await runs.trouble() == "does not answer"


@pytest.mark.parametrize("bug", [RecursionError, NotImplementedError])
async def test_a_bug_is_not_taken_for_prefect_being_away(bug: type[Exception]) -> None:
    with pytest.raises(bug):
        async with translated():
            raise bug
