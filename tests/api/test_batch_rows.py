"""Rows that cannot be made are named, and nothing is created."""

from __future__ import annotations

import pytest

from core.batches.request import BATCH_ITEMS_MAX
from tests.api.batch_calls import (
    CANARY,
    CSV,
    JSONL,
    SD15,
    accepted,
    places,
    post,
    post_json,
    requests,
)
from tests.api.service import (
    Service,
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("prompt,steps\na fox,20\nan owl,x\n", [(["row", 3, "steps"], "int_parsing")]),
        (f"prompt,steps\na {CANARY},0\n", [(["row", 2, "steps"], "greater_than_equal")]),
        ("prompt,steps\n,1\n", [(["row", 2, "prompt"], "missing")]),
        (f"prompt,model\na fox,{CANARY}\n", [(["row", 2, "model"], "unknown_model")]),
        ("prompt,count\na fox,0\n", [(["row", 2, "count"], "greater_than_equal")]),
        ("prompt\na {red fox\n", [(["row", 2, "prompt"], "wildcard")]),
        (f"prompt,{CANARY[:4]}\na fox,1\n", [(["row", 1, "zx81"], "unknown_column")]),
        ("prompt,prompt\na fox,1\n", [(["row", 1, "prompt"], "duplicate_column")]),
        ("a fox\nan owl\n", [(["row", 1], "missing_header")]),
        ('prompt\n"a fox\nan owl\n', [(["row", 2], "malformed_csv")]),
        ("prompt,steps\na fox,1,2\n", [(["row", 2], "too_many_cells")]),
        ("prompt\n", [(["row", 1], "no_rows")]),
        ("", [(["row", 1], "missing_header")]),
        (
            "prompt,steps,width\na fox,0,7\n,1,512\n",
            [
                (["row", 2, "width"], "multiple_of"),
                (["row", 2, "steps"], "greater_than_equal"),
                (["row", 3, "prompt"], "missing"),
            ],
        ),
    ],
)
def test_a_bad_row_of_a_csv_file_is_named_and_nothing_created(
    service: Service, body: str, expected: list[tuple[list[str | int], str]]
) -> None:
    before = service.batch_counts()

    assert sorted(places(post(service, body, CSV)), key=str) == sorted(expected, key=str)

    assert service.batch_counts() == before


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"prompt": "a fox"}\n{"prompt": "a', [(["row", 2], "malformed_json")]),
        (f'{{"prompt": "a fox", "nix": "{CANARY}"}}', [(["row", 1, "nix"], "extra_forbidden")]),
        ('{"prompt": "a fox"}\n[1]', [(["row", 2], "dict_type")]),
        ('{"prompt": "a fox", "prompt": "b"}', [(["row", 1], "malformed_json")]),
        ('{"prompt": "a fox", "steps": "20"}', [(["row", 1, "steps"], "int_type")]),
        ('{"prompt": "a fox", "count": true}', [(["row", 1, "count"], "int_type")]),
        ("\n\n", [(["row", 1], "no_rows")]),
    ],
)
def test_a_bad_line_of_json_is_named_and_nothing_created(
    service: Service, body: str, expected: list[tuple[list[str | int], str]]
) -> None:
    before = service.batch_counts()

    assert places(post(service, body, JSONL)) == expected

    assert service.batch_counts() == before


def test_a_file_that_is_not_utf8_is_refused(service: Service) -> None:
    latin = "prompt\na fox\nBäume\n".encode("latin-1")

    assert places(post(service, latin, CSV)) == [(["row", 3], "not_utf8")]


def test_a_bad_item_of_json_is_named_and_nothing_created(service: Service) -> None:
    before = service.batch_counts()

    response = post_json(
        service,
        items=[
            {"prompt": "a fox"},
            {"prompt": f"a {CANARY}", "sampler": CANARY},
            {"prompt": "a fox", "metadata": {"a": {"b": CANARY}}},
        ],
    )

    assert places(response) == [
        (["row", 2, "sampler"], "unknown_sampler"),
        (["row", 3, "metadata.a"], "string_type"),
    ]
    assert "Nothing was created" in response.json()["detail"]
    assert service.batch_counts() == before


def test_of_many_bad_rows_the_first_hundred_are_named(service: Service) -> None:
    body = "prompt,steps\n" + "a fox,0\n" * 500

    found = places(post(service, body, CSV))

    assert [loc[1] for loc, _ in found] == list(range(2, 102))


def test_more_items_than_a_batch_may_have_are_refused(service: Service) -> None:
    before = service.batch_counts()

    response = post_json(service, defaults={"prompt": "a fox"}, items=[{}] * 21, count=1000)

    assert places(response) == [(["row", 21], "too_many_items")]
    assert str(BATCH_ITEMS_MAX) in response.json()["detail"]
    assert service.batch_counts() == before


def test_bad_rows_are_left_out_when_that_is_wanted(service: Service) -> None:
    body = "prompt,steps\na fox,20\nan owl,0\na hen,30\n"

    response = post(service, body, CSV, skip_bad="true")

    batch_id = accepted(response)
    assert response.json()["total"] == 2
    [skipped] = response.json()["skipped"]
    assert (skipped["row"], skipped["column"]) == (3, "steps")
    assert skipped["code"] == "greater_than_equal"
    assert [item["row"] for item in service.items(batch_id)] == [2, 4]
    nothing = post(service, "prompt,steps\nan owl,0\n", CSV, skip_bad="true")
    assert (["row", 0], "no_items") in places(nothing)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("prompt,stpes\na fox,20\n", "stpes: there is no such column; near matches: steps"),
        ("prompt;steps\na fox;20\n", "this looks like a file separated by semicolons"),
        ("prompt,steps\na fox, an owl,20\n", "a prompt with a comma must be in double quotes"),
        (f"prompt\n{'x' * 10_001}\n", "may have 10,000 characters at most, not 10,001"),
    ],
)
def test_a_usual_slip_says_what_to_do(service: Service, body: str, said: str) -> None:
    response = post(service, body, CSV)

    assert response.status_code == 422
    assert said in response.json()["detail"]


def test_a_wrong_header_is_refused_even_where_bad_rows_are_skipped(service: Service) -> None:
    before = service.batch_counts()

    refused = post(service, "prompt,stpes\na fox,20\nan owl,30\n", CSV, skip_bad="true")

    assert places(refused) == [(["row", 1, "stpes"], "unknown_column")]
    assert service.batch_counts() == before


def test_lines_with_a_byte_order_mark_are_all_taken(service: Service) -> None:
    body = '{"prompt": "a fox"}\n{"prompt": "an owl"}\n'.encode("utf-8-sig")

    accepted(response := post(service, body, JSONL, skip_bad="true"))

    assert (response.json()["total"], response.json()["skipped"]) == (2, [])


def test_a_blank_around_a_name_and_a_seed_with_a_count_are_taken(service: Service) -> None:
    batch_id = accepted(post(service, f"prompt,seed,count,model\na fox,5,3, {SD15}\n", CSV))

    made = [(one["seed"], one["model"]) for one in requests(service, batch_id)]
    assert made == [(5, SD15), (6, SD15), (7, SD15)]


@pytest.mark.parametrize("body", ["prompt,seed\na fox,-1\n", '{"prompt": "a fox", "seed": -1}'])
def test_a_seed_of_minus_one_is_drawn(service: Service, body: str) -> None:
    batch_id = accepted(post(service, body, JSONL if body.startswith("{") else CSV, seed="-1"))

    assert requests(service, batch_id)[0]["seed"] >= 0
    assert service.batch(batch_id)["seed"] >= 0
