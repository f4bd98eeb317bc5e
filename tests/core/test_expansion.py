"""Rows times grid times count: each item once, always the same, and every mistake said."""

from __future__ import annotations

import itertools
import random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy import TXT2IMG
from core.batches.expansion import STRETCH, Item, expand, grouped
from core.batches.lists import Lists
from core.batches.manifest import Row
from core.batches.request import BATCH_ITEMS_MAX, BatchRequest
from core.callbacks.callback import Callback
from core.fields import SEED_MAX
from core.problems import FieldProblem
from core.requests import GenerationRequest
from tests.inputs import picked

LISTS = Lists.of({"animal": ("fox", "owl", "hen"), "broken": ("{",)})
MANY = "a {red|blue|green} __animal__ {1|2|3|4|5|6|7|8|9}"
CANARY = "zx81canary"


def expanded(
    rows: list[Row | FieldProblem] | None = None,
    seed: int = 1,
    lists: Lists = LISTS,
    **fields: Any,
) -> list[Item | FieldProblem]:
    return list(expand(BatchRequest.model_validate(fields), rows, seed, lists, TXT2IMG))


def requests(found: list[Item | FieldProblem]) -> list[GenerationRequest]:
    """Of a batch without problems."""
    assert [each for each in found if isinstance(each, FieldProblem)] == []
    return [each.request for each in found if isinstance(each, Item)]


def problems(found: list[Item | FieldProblem]) -> list[tuple[int, str | None, str]]:
    """Where and what, after a look that nothing is echoed."""
    assert CANARY not in "".join(each.message for each in found if isinstance(each, FieldProblem))
    return [(each.row, each.column, each.code) for each in found if isinstance(each, FieldProblem)]


# --- rows, grid, count ---


def test_defaults_alone_are_one_item() -> None:
    [request] = requests(expanded(defaults={"prompt": "a red fox", "steps": 20}))

    assert (*picked(request, "prompt", "steps"), request.priority) == (
        "a red fox",
        20,
        "bulk",
    )


def test_a_row_wins_over_defaults_and_the_grid_over_both() -> None:
    found = expanded(
        defaults={"prompt": "d", "steps": 1, "cfg": 1, "priority": "interactive"},
        items=[{"prompt": "a", "steps": 2}, {"prompt": "b", "priority": "bulk"}],
        grid={"steps": [3]},
    )

    shown = [(*picked(each, "prompt", "steps", "cfg"), each.priority) for each in requests(found)]
    assert shown == [("a", 3, 1.0, "interactive"), ("b", 3, 1.0, "bulk")]


def test_labels_are_merged_one_by_one() -> None:
    [request] = requests(
        expanded(
            defaults={"prompt": "a", "metadata": {"a": 1, "b": 1}},
            items=[{"metadata": {"b": 2, "c": 2}}],
        )
    )

    assert request.metadata == {"a": 1, "b": 2, "c": 2}


def test_a_row_has_one_callback_its_own_before_that_of_the_defaults() -> None:
    found = expanded(
        defaults={"prompt": "a", "callback": "shop", "callback_events": ["generation.failed"]},
        items=[
            {},
            {"callback_url": "https://other.example/"},
            {"callback": "other", "callback_events": ["generation.running"]},
            {"callback": None},
            {"callback_events": ["generation.cancelled"]},
        ],
    )

    failed: Final = ("generation.failed",)
    assert [request.wanted_callback for request in requests(found)] == [
        Callback(name="shop", events=failed),
        Callback(url="https://other.example/", events=failed),
        Callback(name="other", events=("generation.running",)),
        None,
        Callback(name="shop", events=("generation.cancelled",)),
    ]


def test_events_of_a_file_are_one_text() -> None:
    rows: list[Row | FieldProblem] = [
        Row(2, {"prompt": "a", "callback": "shop", "callback_events": text})
        for text in ("generation.failed", "generation.failed;generation.running", CANARY)
    ]
    found = expanded(rows)

    wanted = [each.request.wanted_callback for each in found if isinstance(each, Item)]
    assert [each.events for each in wanted if each] == [
        ("generation.failed",),
        ("generation.failed", "generation.running"),
    ]
    assert problems(found) == [(2, "callback_events", "literal_error")]


def test_a_wrong_callback_of_a_row_is_told_at_its_column() -> None:
    found = expanded(
        defaults={"prompt": "a"},
        items=[
            {"callback": "shop", "callback_url": f"https://{CANARY}.example/"},
            {"callback_events": ["generation.failed"]},
            {"callback_url": f"https://{CANARY}@shop.example/"},
        ],
    )

    assert problems(found) == [
        (1, "callback", "value_error"),
        (2, "callback_events", "value_error"),
        (3, "callback_url", "value_error"),
    ]


def test_a_grid_combines_every_value_with_every_other() -> None:
    found = expanded(
        items=[{"prompt": "a"}, {"prompt": "b"}], grid={"steps": [1, 2], "cfg": [3, 4]}
    )

    shown = [picked(each, "prompt", "steps", "cfg") for each in requests(found)]
    assert shown == [*itertools.product("ab", [1, 2], [3.0, 4.0])]


def test_zip_combines_values_at_the_same_place() -> None:
    found = expanded(combine="zip", grid={"prompt": ["a", "b"], "steps": [1, 2]}, count=2)

    shown = [picked(each, "prompt", "steps") for each in requests(found)]
    assert shown == [("a", 1), ("a", 1), ("b", 2), ("b", 2)]


def test_zip_without_a_grid_is_nothing_special() -> None:
    assert len(requests(expanded(combine="zip", defaults={"prompt": "a"}))) == 1


def test_a_row_may_say_its_own_count() -> None:
    found = expanded(
        items=[{"prompt": "a"}, {"prompt": "b", "count": 3}, {"prompt": "c", "count": None}],
        count=2,
    )

    assert [each.inputs.get("prompt") for each in requests(found)] == [*"aabbbcc"]


def test_rows_of_a_file_keep_their_numbers_and_items_are_counted() -> None:
    rows: list[Row | FieldProblem] = [
        Row(2, {"prompt": "a", "count": 2}),
        FieldProblem.of_row(3, "steps", "int_parsing", "must be a whole number"),
        Row(7, {"prompt": "b"}),
    ]
    found = expanded(rows, defaults={"steps": 5})

    assert found[2] == rows[1]
    items = [each for each in found if isinstance(each, Item)]
    assert [(each.position, each.row) for each in items] == [(0, 2), (1, 2), (2, 7)]
    assert {each.request.inputs.get("steps") for each in items} == {5}
    assert [each.row for each in expanded(items=[{"prompt": "a"}, {"prompt": "b"}])] == [1, 2]


COUNTS = st.none() | st.integers(1, 5)
GRIDS = st.dictionaries(
    st.sampled_from(["steps", "cfg", "batch_size"]),
    st.lists(st.integers(1, 16), min_size=1, max_size=3),
    min_size=1,
)


@given(st.lists(COUNTS, min_size=1, max_size=5), GRIDS | st.none(), st.integers(1, 3))
def test_nothing_is_lost_and_nothing_added(
    counts: list[int | None], grid: dict[str, list[int]] | None, count: int
) -> None:
    items = [{"prompt": str(row), "count": own} for row, own in enumerate(counts)]
    found = expanded(items=items, grid=grid, count=count)

    size = 1
    for values in (grid or {}).values():
        size *= len(values)
    assert len(requests(found)) == sum(own or count for own in counts) * size
    assert [each.position for each in found if isinstance(each, Item)] == [*range(len(found))]


# --- chance ---


@given(st.integers(0, SEED_MAX))
def test_the_same_seed_gives_the_same_items(seed: int) -> None:
    once = expanded(defaults={"prompt": MANY, "negative_prompt": MANY}, count=20, seed=seed)

    assert once == expanded(defaults={"prompt": MANY, "negative_prompt": MANY}, count=20, seed=seed)


def test_another_seed_gives_others() -> None:
    batches = [
        [
            each.inputs.get("prompt")
            for each in requests(expanded(defaults={"prompt": MANY}, count=20, seed=seed))
        ]
        for seed in range(10)
    ]

    assert len({tuple(texts) for texts in batches}) == 10
    assert all(len(set(texts)) > 5 for texts in batches)


def test_chance_gives_the_same_items_for_ever() -> None:
    """These were drawn with Python 3.11: a batch that goes on elsewhere must not change."""
    found = requests(expanded(defaults={"prompt": MANY}, count=3, seed=42))

    assert [picked(each, "seed", "prompt") for each in found] == [
        (885026713981769, "a blue hen 7"),
        (8606151794902478, "a blue hen 6"),
        (2852118164838394, "a red hen 3"),
    ]


def test_an_item_follows_from_its_position_alone() -> None:
    alone = requests(expanded(defaults={"prompt": MANY}, count=5))[4]
    after_others = requests(
        expanded(items=[{"prompt": "{a|b}{c|d}", "count": 4}, {"prompt": MANY}])
    )[4]

    assert alone == after_others


def test_seeds_follow_from_the_batch_and_not_from_the_prompt() -> None:
    plain = [
        each.inputs.get("seed") for each in requests(expanded(defaults={"prompt": "a"}, count=100))
    ]
    drawn = [
        each.inputs.get("seed") for each in requests(expanded(defaults={"prompt": MANY}, count=100))
    ]

    assert plain == drawn
    assert len(set(plain)) == 100
    assert all(seed is not None and 0 <= seed <= SEED_MAX for seed in plain)


def test_a_seed_of_its_own_stays_and_changes_no_prompt() -> None:
    drawn = requests(expanded(defaults={"prompt": MANY, "seed": None}, count=10))
    own = requests(expanded(items=[{"prompt": MANY, "seed": 7}] * 10))

    assert [each.inputs.get("prompt") for each in own] == [
        each.inputs.get("prompt") for each in drawn
    ]
    assert {each.inputs.get("seed") for each in own} == {7}


def test_a_seed_of_its_own_grows_with_each_of_the_count() -> None:
    found = expanded(items=[{"prompt": "fox", "seed": 5, "count": 3}], grid={"steps": [1, 2]})
    largest = requests(expanded(defaults={"prompt": "fox", "seed": SEED_MAX}, count=2))

    assert [picked(each, "steps", "seed") for each in requests(found)] == [
        *((steps, seed) for steps in (1, 2) for seed in (5, 6, 7))
    ]
    assert [each.inputs.get("seed") for each in largest] == [SEED_MAX, 0]


def test_a_seed_of_minus_one_is_drawn_as_if_there_were_none() -> None:
    drawn = requests(expanded(defaults={"prompt": MANY}, count=3))

    assert requests(expanded(defaults={"prompt": MANY, "seed": -1}, count=3)) == drawn


@pytest.mark.parametrize("seed", [-2, SEED_MAX + 1, -1.0, "7", True])
def test_what_is_no_seed_is_told_once(seed: Any) -> None:
    found = expanded(items=[{"prompt": "fox", "seed": seed, "count": 3}])

    assert [(row, column) for row, column, _ in problems(found)] == [(1, "seed")]


def test_the_cells_of_a_grid_differ_in_what_it_names_alone() -> None:
    found = requests(
        expanded(
            items=[{"prompt": MANY}, {"prompt": MANY}],
            grid={"steps": [1, 2, 3], "cfg": [4, 5]},
            count=2,
        )
    )

    assert len(found) == 24
    drawn = [picked(each, "seed", "prompt") for each in found]
    for row in (drawn[:12], drawn[12:]):
        assert row == row[:2] * 6
    assert len({seed for seed, _ in drawn}) == 4
    assert [picked(each, "steps", "cfg") for each in found[:12:2]] == [
        *itertools.product([1, 2, 3], [4.0, 5.0])
    ]


def test_the_cells_of_a_zipped_grid_share_their_seed_too() -> None:
    found = requests(expanded(combine="zip", grid={"prompt": ["a", "b"], "steps": [1, 2]}))

    assert found[0].inputs.get("seed") == found[1].inputs.get("seed")


def test_a_grid_may_draw_for_each_cell() -> None:
    found = requests(
        expanded(defaults={"prompt": MANY}, grid={"steps": [*range(1, 41)]}, vary_seed=True)
    )

    assert len({each.inputs.get("seed") for each in found}) == 40
    assert len({each.inputs.get("prompt") for each in found}) > 5


def test_without_a_grid_every_item_is_drawn_anew() -> None:
    found = requests(expanded(items=[{"prompt": MANY}] * 5, count=4))

    assert len({each.inputs.get("seed") for each in found}) == 20


def test_wildcards_are_in_both_prompts_and_nowhere_else() -> None:
    [request] = requests(
        expanded(
            defaults={
                "prompt": "{a} \\{",
                "negative_prompt": "{b}",
                "model": "{c}",
                "metadata": {"d": "{d}"},
            }
        )
    )

    assert picked(request, "prompt", "negative_prompt") == ("a {", "b")
    assert (request.inputs.get("model"), request.metadata) == ("{c}", {"d": "{d}"})


def test_without_wildcards_prompts_are_literal() -> None:
    texts = {"prompt": "{ __nowhere__ \\{", "negative_prompt": "{a|b}"}
    [request] = requests(expanded(defaults=texts, wildcards=False))

    assert {name: request.inputs[name] for name in texts} == texts


# --- problems ---


@pytest.mark.parametrize(
    ("fields", "column", "code"),
    [
        ({}, "prompt", "missing"),
        ({"prompt": 42}, "prompt", "string_type"),
        ({"prompt": f"{CANARY} {{"}, "prompt", "wildcard"),
        ({"prompt": f"{CANARY} __nowhere__"}, "prompt", "wildcard"),
        ({"prompt": f"{CANARY} __broken__"}, "prompt", "wildcard"),
        ({"prompt": "{|}"}, "prompt", "too_short"),
        ({"prompt": "fox", "negative_prompt": "}"}, "negative_prompt", "wildcard"),
        ({"prompt": "fox", "steps": CANARY}, "steps", "int_type"),
        ({"prompt": "fox", "steps": 10**90}, "steps", "less_than_equal"),
        ({"prompt": "fox", "promt": CANARY}, "promt", "extra_forbidden"),
        ({"prompt": "fox", "priority": CANARY}, "priority", "literal_error"),
        ({"prompt": "fox", "metadata": {"a": [CANARY]}}, "metadata.a", "string_type"),
        ({"prompt": "fox", "metadata": CANARY}, "metadata", "dict_type"),
        ({"prompt": "fox", "count": 0}, "count", "greater_than_equal"),
        ({"prompt": "fox", "count": 1001}, "count", "less_than_equal"),
        ({"prompt": "fox", "count": "3"}, "count", "int_type"),
        ({"prompt": "fox", "count": True}, "count", "int_type"),
        ({"prompt": "fox", "width": 4096, "height": 4096, "batch_size": 16}, None, "value_error"),
    ],
)
def test_a_bad_row_is_told_once_and_the_others_are_there(
    fields: dict[str, Any], column: str | None, code: str
) -> None:
    found = expanded(
        items=[{"prompt": "a"}, fields, {"prompt": "b"}], count=3, grid={"cfg": [1, 2]}
    )

    assert problems(found) == [(2, column, code)]
    items = [each for each in found if isinstance(each, Item)]
    assert [(each.position, each.row) for each in items] == [
        *((position, 1 if position < 6 else 3) for position in range(12))
    ]


def test_every_mistake_of_a_row_is_told() -> None:
    found = expanded(items=[{"prompt": "{", "steps": 0, "count": 0, "negative_prompt": "}"}])

    assert problems(found) == [
        (1, "count", "greater_than_equal"),
        (1, "prompt", "wildcard"),
        (1, "negative_prompt", "wildcard"),
        (1, "steps", "greater_than_equal"),
    ]


def test_a_bad_value_of_the_grid_is_told_for_each_row() -> None:
    found = expanded(items=[{"prompt": "a"}, {"prompt": "b"}], grid={"steps": [1, 0, -1]})

    assert problems(found) == [
        (1, "steps", "greater_than_equal"),
        (2, "steps", "greater_than_equal"),
    ]
    assert len(found) == 4


@pytest.mark.parametrize("name", ["x" * 10_000, "\ud800", "\x00"])
def test_a_column_can_always_be_written(name: str) -> None:
    [found] = expanded(items=[{"prompt": "fox", name: 1}])

    assert isinstance(found, FieldProblem)
    assert len((found.column or "").encode()) <= 100


def test_a_batch_may_fill_its_limit() -> None:
    items = [{"prompt": "fox", "count": 1000}] * (BATCH_ITEMS_MAX // 1000)

    assert len(requests(expanded(items=items))) == BATCH_ITEMS_MAX
    found = expanded(items=[*items, {"prompt": "owl"}, {"prompt": "hen"}])
    assert len(found) == BATCH_ITEMS_MAX + 1
    assert problems(found) == [(21, None, "too_many_items")]


@pytest.mark.parametrize("steps", [1, 0])
def test_a_grid_without_end_ends(steps: int) -> None:
    names = ["width", "height", "cfg", "seed", "timeout_s", "batch_size"]
    grid = {**{name: [64] * 100 for name in names}, "steps": [steps] * 100}
    found = expanded(
        defaults={"prompt": "fox"}, grid={**grid, "batch_size": [1] * 100, "cfg": [1] * 100}
    )

    assert problems(found)[-1] == (1, None, "too_many_items")


def test_items_come_as_they_are_wanted() -> None:
    def rows() -> Any:
        yield Row(1, {"prompt": "fox"})
        raise AssertionError("nobody asked for more")

    first = next(expand(BatchRequest(), rows(), 1, LISTS, TXT2IMG))
    assert isinstance(first, Item)


# --- turns ---


def test_items_of_one_model_come_together() -> None:
    assert [item for _, item in grouped("abacbaab", str, within=8)] == [
        *"aaaabbbc"[:4],
        *"bbb",
        "c",
    ]


def test_the_model_that_is_loaded_goes_on() -> None:
    turns = [
        item for _, item in grouped(["a1", "b1", "a2", "c1", "b2", "a3"], lambda item: item[0], 3)
    ]

    assert turns == ["a1", "a2", "b1", "b2", "c1", "a3"]


ITEMS = st.lists(st.sampled_from("abc"), max_size=60).map(lambda models: [*enumerate(models)])


@given(ITEMS, st.integers(1, 10))
def test_everyone_has_one_turn_near_their_place(items: list[tuple[int, str]], within: int) -> None:
    turns = list(grouped(items, lambda item: item[1], within))

    assert [turn for turn, _ in turns] == [*range(len(items))]
    assert sorted(item for _, item in turns) == items
    assert all(turn // within == item[0] // within for turn, item in turns)


@given(ITEMS, st.integers(1, 10))
def test_a_model_is_together_and_in_order(items: list[tuple[int, str]], within: int) -> None:
    turns = [item for _, item in grouped(items, lambda item: item[1], within)]

    for start in range(0, len(turns), within):
        stretch = turns[start : start + within]
        runs = [[*run] for _, run in itertools.groupby(stretch, lambda item: item[1])]
        assert len(runs) == len({model for _, model in stretch})
        assert all(run == sorted(run) for run in runs)


def test_a_stretch_is_taken_at_a_time() -> None:
    endless = itertools.count()

    assert next(grouped(endless, str)) == (0, 0)
    assert next(endless) == STRETCH


def test_grouping_saves_most_loads() -> None:
    chance = random.Random(1)
    models = [chance.choice("ab") for _ in range(1000)]
    turns = [model for _, model in grouped(models, str)]

    assert len([*itertools.groupby(turns)]) == 6
