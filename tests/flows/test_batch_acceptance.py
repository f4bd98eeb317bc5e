"""From a manifest to a batch that is kept: all of it, or nothing and why."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from comfy import TXT2IMG, Catalogue
from comfy.workflows.builtin.naming import near
from comfy.workflows.known import Known
from core.batches.columns import Columns
from core.batches.lists import Lists
from core.batches.manifest import LINES_MAX, Row, read_manifest
from core.batches.request import BatchRequest
from core.callbacks.addresses import AllowedAddresses
from core.callbacks.callback import GENERATION_ENDS, Callback, read_callback
from core.callbacks.rules import CallbackRules
from core.fields import SEED_MAX
from core.ids import item_id
from core.problems import FieldProblem
from core.requests import ResolvedRequest
from flows.batches.acceptance import (
    BAD_ROWS_MAX,
    PROBLEMS_KEPT,
    PROBLEMS_MAX,
    SAMPLES,
    AcceptedBatch,
    Source,
    accept_batch,
    plan_batch,
)
from flows.errors import BatchRefusedError
from store.errors import ConflictError, NotFoundError
from store.generations.acceptance import IdempotencyKey
from store.generations.dispatches import KINDS
from store.generations.inserts import cost
from store.store import Store
from store.tables import batch_items, batches
from store.values import BatchItem
from tests.harness.transactions import open_read

SD15, SDXL = "sd15.safetensors", "sdxl.safetensors"
CATALOGUE = Catalogue(checkpoints=(SD15, SDXL), samplers=("euler",), schedulers=("normal",))
STRETCH = 200
CANARY = "zx81canary"


def of(**request: Any) -> Source:
    """A request as JSON."""
    return _source(BatchRequest.model_validate(request))


def _source(request: BatchRequest, rows: Any = None, *, skip_bad: bool = False) -> Source:
    return Source(
        request=request,
        rows=rows,
        lists=Lists.of({"animal": ("fox", "owl", "hen")}),
        known=Known(CATALOGUE),
        skip_bad=skip_bad,
    )


class Folder:
    """Where manifests lie. A file is read anew by each source that is made of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def csv(self, *lines: str, skip_bad: bool = False, **options: Any) -> Source:
        path = self._path / "manifest.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        request = BatchRequest.model_validate(options)
        return _source(request, read_manifest(path, "csv", Columns(TXT2IMG)), skip_bad=skip_bad)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def accepted(store: Store, source: Source, **more: Any) -> AcceptedBatch:
    return await accept_batch(store, source, uuid4(), "foxes", **more)


async def refused(store: Store, source: Source) -> list[tuple[int, str | None, str]]:
    """Where and what; nothing is left, and a dry run says the same."""
    with pytest.raises(BatchRefusedError) as refusal:
        await accepted(store, source)
    assert await rows(store) == (0, 0)
    assert CANARY not in str(refusal.value)
    return places(refusal.value.problems)


def places(problems: Iterable[FieldProblem]) -> list[tuple[int, str | None, str]]:
    return [(one.row, one.column, one.code) for one in problems]


async def rows(store: Store) -> tuple[int, int]:
    """How many batches and items there are, seen or not."""
    async with open_read(store.database) as connection:
        found = [
            (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (batches, batch_items)
        ]
    return found[0], found[1]


async def items_of(store: Store, batch_id: UUID) -> list[BatchItem]:
    page = await store.batches.items(batch_id, 100_000, None)
    assert page.next_cursor is None
    return list(page.items)


async def turns_of(store: Store, batch_id: UUID) -> list[int]:
    """Positions in the order in which they will be made."""
    statement = (
        select(batch_items.c.position)
        .where(batch_items.c.batch_id == batch_id)
        .order_by(batch_items.c.turn)
    )
    async with open_read(store.database) as connection:
        return list((await connection.execute(statement)).scalars())


# --- what is kept


async def test_a_thousand_rows_become_a_thousand_items(store: Store, folder: Folder) -> None:
    lines = [f"fox {number},{number % 50 + 1},{number}" for number in range(1000)]
    source = folder.csv("prompt,steps,metadata.order", *lines)

    made = await accepted(store, source)

    batch, found = made.batch, await items_of(store, made.batch.id)
    assert made.skipped == ()
    assert batch == await store.batches.get(batch.id)
    assert (batch.status, batch.name, batch.total, batch.released) == ("queued", "foxes", 1000, 0)
    assert [item.position for item in found] == list(range(1000))
    assert [item.row for item in found] == list(range(2, 1002))
    assert [item.generation_id for item in found] == [item_id(batch.id, n) for n in range(1000)]
    requests = [item.request for item in found if isinstance(item.request, ResolvedRequest)]
    assert [request.prompt for request in requests] == [f"fox {n}" for n in range(1000)]
    assert [request.steps for request in requests] == [n % 50 + 1 for n in range(1000)]
    assert [request.metadata for request in requests] == [{"order": str(n)} for n in range(1000)]
    assert {(request.model, request.priority) for request in requests} == {(SD15, "bulk")}
    assert len({request.seed for request in requests}) == 1000
    assert batch.cost == pytest.approx(sum(cost(request) for request in requests))
    assert not await store.outbox.count(KINDS)


async def test_what_the_run_and_the_client_say_is_kept(store: Store) -> None:
    run, key = uuid4(), IdempotencyKey("order-42", "a" * 64)
    source = of(items=[{"prompt": "fox"}], max_in_flight=2, not_after="07:00", seed=5)

    made = await accepted(store, source, key=key, flow_run_id=run, schedule="nightly")

    batch = made.batch
    assert (batch.flow_run_id, batch.schedule, batch.seed) == (run, "nightly", 5)
    assert batch.options == source.request.options
    assert await store.batches.of_key(key.key, key.body_sha256) == batch
    assert await store.batches.of_run(run) == batch


async def test_rows_times_grid_times_count(store: Store) -> None:
    source = of(
        items=[{"prompt": "fox"}, {"prompt": "owl", "count": 1}],
        grid={"steps": [1, 2], "model": [SD15, SDXL]},
        count=3,
    )

    made = await accepted(store, source)

    found = await items_of(store, made.batch.id)
    assert made.batch.total == len(found) == 4 * 3 + 4
    assert [item.row for item in found] == [1] * 12 + [2] * 4
    assert {item.request.width for item in found if isinstance(item.request, ResolvedRequest)} == {
        512,
        1024,
    }


async def test_seeds_and_wildcards_follow_from_the_batchs_seed(store: Store) -> None:
    source = of(defaults={"prompt": "a {red|blue|green} __animal__"}, count=30, seed=11)

    async def made(one: Source) -> list[Any]:
        return [
            item.request for item in await items_of(store, (await accepted(store, one)).batch.id)
        ]

    first, second = await made(source), await made(source)

    assert first == second
    assert len({request.prompt for request in first}) > 3
    other = replace(source, request=source.request.model_copy(update={"seed": 12}))
    assert await made(other) != first


async def test_without_a_seed_one_is_drawn_and_kept(store: Store) -> None:
    source = of(defaults={"prompt": "a {red|blue|green} __animal__"}, count=30)
    first, second = await accepted(store, source), await accepted(store, source)
    assert first.batch.seed != second.batch.seed
    assert 0 <= first.batch.seed <= SEED_MAX

    again = of(
        defaults={"prompt": "a {red|blue|green} __animal__"}, count=30, seed=first.batch.seed
    )
    repeated = await accepted(store, again)

    assert [item.request for item in await items_of(store, repeated.batch.id)] == [
        item.request for item in await items_of(store, first.batch.id)
    ]


# --- what is refused


async def test_each_problem_names_row_and_column(store: Store, folder: Folder) -> None:
    problems = await refused(
        store,
        folder.csv(
            "prompt,steps,model,count",
            "a fox,20,,",
            f"a fox,{CANARY},,",
            "a fox,1000,,",
            f",20,{SD15},",
            "a fox,20,zx81canary.safetensors,",
            "a fox,20,,0",
            "a {red fox,20,,",
            "an owl,10,,",
        ),
    )

    assert problems == [
        (3, "steps", "int_parsing"),
        (4, "steps", "less_than_equal"),
        (5, "prompt", "missing"),
        (6, "model", "unknown_model"),
        (7, "count", "greater_than_equal"),
        (8, "prompt", "wildcard"),
    ]


async def test_a_refusal_says_the_first_ones_as_sentences(store: Store) -> None:
    source = of(items=[{"prompt": "fox", "steps": 0}, {"prompt": "fox", "nix": CANARY}] * 2)

    with pytest.raises(BatchRefusedError) as refusal:
        await accepted(store, source)

    first, second, third, _fourth = map(str, refusal.value.problems)
    assert first.startswith("row 1, steps: ")
    assert second.startswith("row 2, nix: ")
    assert str(refusal.value) == f"{first}; {second}; {third}"


async def test_a_bad_row_behind_thousands_of_good_ones_leaves_nothing(
    store: Store, folder: Folder
) -> None:
    lines = ["a fox,20"] * 1500 + ["a fox,0"]

    assert await refused(store, folder.csv("prompt,steps", *lines)) == [
        (1502, "steps", "greater_than_equal")
    ]


async def test_after_so_many_bad_rows_nobody_reads_on(store: Store, folder: Folder) -> None:
    lines = ["a fox,0"] * 5 * PROBLEMS_MAX

    problems = await refused(store, folder.csv("prompt,steps", *lines))

    assert [row for row, _, _ in problems] == list(range(2, PROBLEMS_MAX + 2))


@pytest.mark.parametrize("lines", [("prompt,steps",), ("prompt", "", "  ")])
async def test_a_file_without_rows_is_refused(
    store: Store, folder: Folder, lines: tuple[str, ...]
) -> None:
    problems = await refused(store, folder.csv(*lines))

    assert [code for _, _, code in problems] == ["no_rows"]


async def test_more_items_than_a_batch_may_have_are_refused(store: Store) -> None:
    source = of(defaults={"prompt": "fox"}, items=[{}] * 21, count=1000)

    assert await refused(store, source) == [(21, None, "too_many_items")]


async def test_without_a_model_a_row_says_so(store: Store) -> None:
    source = of(items=[{"prompt": "fox"}, {"prompt": "fox", "model": SDXL}])

    assert await refused(store, replace(source, known=Known())) == [(1, "model", "no_model")]
    assert await refused(store, replace(source, known=Known(Catalogue())))
    named = replace(source, known=Known(default_model=SD15))
    assert (await accepted(store, named)).batch.total == 2


async def test_the_same_batch_is_accepted_once_also_at_once(store: Store) -> None:
    source, batch_id = of(items=[{"prompt": f"fox {n}"} for n in range(300)]), uuid4()

    outcomes = await asyncio.gather(
        *(accept_batch(store, source, batch_id, "foxes") for _ in range(3)),
        return_exceptions=True,
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "AcceptedBatch",
        "ConflictError",
        "ConflictError",
    ]
    assert await rows(store) == (1, 300)
    with pytest.raises(ConflictError):
        await accept_batch(store, source, batch_id, "foxes")
    assert await rows(store) == (1, 300)


async def test_an_acceptance_that_is_cancelled_leaves_nothing(store: Store) -> None:
    source, batch_id = of(items=[{"prompt": "fox"}] * 5000), uuid4()
    accepting = asyncio.create_task(accept_batch(store, source, batch_id, "foxes"))
    async with asyncio.timeout(20):
        while (await rows(store))[1] == 0:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)
    accepting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await accepting

    assert await rows(store) == (0, 0)
    with pytest.raises(NotFoundError):
        await store.batches.get(batch_id)


async def test_an_acceptance_that_is_cancelled_at_once_leaves_nothing(store: Store) -> None:
    """Else its key would be in flight for ever."""
    accepting = asyncio.create_task(accepted(store, of(items=[{"prompt": "fox"}])))
    await asyncio.sleep(0)
    accepting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await accepting

    assert await rows(store) == (0, 0)


# --- callbacks


RULES = CallbackRules(names=frozenset({"shop"}))
NOT_PUBLIC = f"http://192.168.1.7/{CANARY}"


async def test_the_callbacks_of_a_batch_and_of_its_items_are_kept(store: Store) -> None:
    source = of(
        callback="shop",
        callback_events=["batch.failed"],
        defaults={"prompt": "fox"},
        items=[{"callback_url": f"https://shop.example/{CANARY}", "count": 2}, {}],
    )

    made = await accepted(store, replace(source, rules=RULES))

    batch = await store.batches.get(made.batch.id)
    assert batch.callback == Callback(name="shop", events=("batch.failed",))
    bare = Callback(url=f"https://shop.example/{CANARY}", events=GENERATION_ENDS)
    assert await callbacks_of(store, batch.id) == [bare, bare, None]
    shown = [item.request for item in await items_of(store, batch.id)]
    assert CANARY not in f"{batch}{batch.options}{shown}"


async def callbacks_of(store: Store, batch_id: UUID) -> list[Callback | None]:
    statement = (
        select(batch_items.c.callback)
        .where(batch_items.c.batch_id == batch_id)
        .order_by(batch_items.c.position)
    )
    async with open_read(store.database) as connection:
        return [read_callback(one) for one in (await connection.execute(statement)).scalars()]


async def test_each_rows_own_callback_must_be_one_that_may_be_reached(store: Store) -> None:
    source = of(
        defaults={"prompt": "fox"},
        items=[
            {"callback": "shop"},
            {"callback": "nosuch"},
            {"callback_url": NOT_PUBLIC, "model": "nix.safetensors"},
            {"callback_url": "https://shop.example/"},
        ],
    )
    checked = replace(source, rules=RULES)

    found = [
        (2, "callback", "unknown_callback"),
        (3, "model", "unknown_model"),
        (3, "callback_url", "address_not_allowed"),
    ]
    assert await refused(store, checked) == found
    with pytest.raises(BatchRefusedError) as dry:
        await plan_batch(checked)
    assert places(dry.value.problems) == found
    assert await refused(store, source)  # nothing is allowed unless rules say so
    made = await accepted(store, replace(checked, skip_bad=True))
    assert (made.batch.total, places(made.skipped)) == (2, found)
    lan = CallbackRules(AllowedAddresses.of(["192.168.0.0/16"]), frozenset({"shop", "nosuch"}))
    assert (await plan_batch(replace(source, rules=lan, skip_bad=True))).total == 3


@pytest.mark.parametrize(
    ("fields", "at", "code"),
    [
        ({"callback": "nosuch"}, "callback", "unknown_callback"),
        ({"callback_url": NOT_PUBLIC}, "callback_url", "address_not_allowed"),
    ],
)
async def test_a_batchs_own_callback_is_checked_before_its_rows_and_never_skipped(
    store: Store, fields: dict[str, str], at: str, code: str
) -> None:
    source = replace(of(items=[{"prompt": "fox"}], **fields), rules=RULES, skip_bad=True)

    assert await refused(store, source) == [(0, at, code)]
    with pytest.raises(BatchRefusedError, match=f"^{at}: ") as dry:
        await plan_batch(source)
    assert places(dry.value.problems) == [(0, at, code)]


# --- bad rows are skipped


async def test_bad_rows_are_left_out_when_that_is_wanted(store: Store, folder: Folder) -> None:
    source = folder.csv(
        "prompt,steps,model",
        "fox 1,20,",
        "fox 2,0,",
        "fox 3,20,nix.safetensors",
        "fox 4,x,",
        "fox 5,20,",
        skip_bad=True,
    )

    made = await accepted(store, source)

    found = await items_of(store, made.batch.id)
    assert made.batch.total == 2
    assert [(item.row, item.request.prompt) for item in found if item.request] == [
        (2, "fox 1"),
        (6, "fox 5"),
    ]
    assert places(made.skipped) == [
        (3, "steps", "greater_than_equal"),
        (4, "model", "unknown_model"),
        (5, "steps", "int_parsing"),
    ]


@pytest.mark.parametrize("bad", [{"steps": 0}, {"model": "nix.safetensors"}])
async def test_positions_have_no_gaps_whatever_was_wrong(store: Store, bad: dict[str, Any]) -> None:
    source = of(items=[{"prompt": "fox", **bad}, {"prompt": "owl"}, {"prompt": "hen"}])

    made = await accepted(store, replace(source, skip_bad=True))

    found = await items_of(store, made.batch.id)
    assert [item.position for item in found] == [0, 1]
    assert [item.row for item in found] == [2, 3]


async def test_all_bad_rows_are_told_when_they_are_skipped(store: Store, folder: Folder) -> None:
    lines = ["a fox,0"] * 3 * PROBLEMS_MAX
    made = await accepted(store, folder.csv("prompt,steps", *lines, "an owl,1", skip_bad=True))

    assert (made.batch.total, len(made.skipped)) == (1, 3 * PROBLEMS_MAX)


@pytest.mark.parametrize("header", ["prompt,stpes", "prompt,prompt", "prompt;steps", "promt,stpes"])
async def test_a_wrong_header_is_never_skipped(store: Store, folder: Folder, header: str) -> None:
    source = folder.csv(header, "a fox,1", "an owl,2", skip_bad=True)

    assert [row for row, *_ in await refused(store, source)] == [1]


async def test_lines_that_are_not_read_are_never_skipped(store: Store, folder: Folder) -> None:
    source = folder.csv("prompt", "a fox", *[""] * (LINES_MAX - 2), "an owl", skip_bad=True)

    assert await refused(store, source) == [(LINES_MAX + 1, None, "too_many_lines")]


async def test_nothing_but_bad_rows_is_refused_all_the_same(store: Store, folder: Folder) -> None:
    source = folder.csv("prompt,steps", "a fox,0", "a fox,x", skip_bad=True)

    assert await refused(store, source) == [
        (2, "steps", "greater_than_equal"),
        (3, "steps", "int_parsing"),
        (0, None, "no_items"),
    ]


async def test_of_very_many_bad_rows_the_first_are_told_and_all_counted(
    store: Store, folder: Folder
) -> None:
    bad = ["a fox,x"] * (PROBLEMS_KEPT + 5)
    made = await accepted(store, folder.csv("prompt,steps", *bad, "an owl,1", skip_bad=True))
    assert (made.batch.total, len(made.skipped)) == (1, PROBLEMS_KEPT)

    endless = ["a fox,x"] * (BAD_ROWS_MAX + 5_000)
    with pytest.raises(BatchRefusedError) as refusal:
        await plan_batch(folder.csv("prompt,steps", *endless, skip_bad=True))
    assert len(refusal.value.problems) == PROBLEMS_MAX
    assert places(refusal.value.problems)[0] == (BAD_ROWS_MAX + 2, None, "too_many_bad_rows")
    assert refusal.value.total == BAD_ROWS_MAX + 1


async def test_near_matches_of_a_name_are_looked_for_once() -> None:
    before = near.cache_info().misses
    items = [{"prompt": "fox", "model": f"sd1{n % 2}.safetensors"} for n in range(50)]

    plan = await plan_batch(replace(of(items=[*items, {"prompt": "owl"}]), skip_bad=True))

    said = "ComfyUI has no such model in models/checkpoints or models/diffusion_models"
    assert {problem.message for problem in plan.skipped} == {
        f"{said}; near matches: {SD15}, {SDXL} (of 2 models)"
    }
    assert near.cache_info().misses == before + 2


async def test_the_event_loop_goes_on_while_a_manifest_is_read() -> None:
    reading, go_on = threading.Event(), threading.Event()

    def rows() -> Iterator[Row]:
        reading.set()
        assert go_on.wait(60), "the event loop stood still"
        yield Row(1, {"prompt": "a fox"})

    planning = asyncio.create_task(plan_batch(_source(BatchRequest.model_validate({}), rows())))
    await asyncio.to_thread(reading.wait)
    go_on.set()

    assert (await planning).total == 1


# --- a dry run


async def test_a_plan_is_what_would_be_made(store: Store) -> None:
    source = of(
        items=[{"prompt": f"a {{red|blue|green}} __animal__ {n}"} for n in range(40)],
        grid={"model": [SD15, SDXL]},
        seed=11,
    )

    plan = await plan_batch(source)
    assert await rows(store) == (0, 0)
    made = await accepted(store, source)

    in_turn = await turns_of(store, made.batch.id)
    found = {item.position: item.request for item in await items_of(store, made.batch.id)}
    assert (plan.total, plan.seed) == (made.batch.total, made.batch.seed) == (80, 11)
    assert plan.cost == made.batch.cost
    assert plan.models == {SD15: 40, SDXL: 40}
    assert list(plan.samples) == [found[position] for position in in_turn[:SAMPLES]]
    assert plan.skipped == ()


async def test_a_plans_seed_makes_what_it_showed(store: Store) -> None:
    drawn = await plan_batch(of(defaults={"prompt": "a {red|blue|green} fox"}, count=8))

    repeated = of(defaults={"prompt": "a {red|blue|green} fox"}, count=8, seed=drawn.seed)
    made = await accepted(store, repeated)

    found = await items_of(store, made.batch.id)
    assert [item.request for item in found] == list(drawn.samples)


async def test_a_plan_names_the_same_problems(store: Store, folder: Folder) -> None:
    lines = ("prompt,steps,model", "a fox,0,", "a fox,1,nix", ",1,")
    expected = await refused(store, folder.csv(*lines))

    with pytest.raises(BatchRefusedError) as refusal:
        await plan_batch(folder.csv(*lines))
    assert places(refusal.value.problems) == expected

    some = ("prompt,steps", "a fox,0", "an owl,1")
    plan = await plan_batch(folder.csv(*some, skip_bad=True))
    assert (plan.total, places(plan.skipped)) == (1, [(2, "steps", "greater_than_equal")])


# --- checkpoints


async def test_a_checkpoint_is_loaded_once_for_each_stretch(store: Store) -> None:
    count = 3 * STRETCH
    models = (SD15, SDXL)
    items = [{"prompt": f"fox {n}", "model": models[n % 2]} for n in range(count)]

    made = await accepted(store, of(items=items))

    order = await turns_of(store, made.batch.id)
    assert sorted(order) == list(range(count))
    for stretch in range(3):
        of_stretch = order[stretch * STRETCH : (stretch + 1) * STRETCH]
        assert sorted(of_stretch) == list(range(stretch * STRETCH, (stretch + 1) * STRETCH))
    switches = sum(one % 2 != other % 2 for one, other in pairwise(order))
    assert switches == 3
    # Within one checkpoint the manifest's order stays.
    assert order[: STRETCH // 2] == list(range(0, STRETCH, 2))


async def test_without_another_checkpoint_the_order_is_the_manifests(store: Store) -> None:
    made = await accepted(store, of(items=[{"prompt": f"fox {n}"} for n in range(450)]))

    assert await turns_of(store, made.batch.id) == list(range(450))
