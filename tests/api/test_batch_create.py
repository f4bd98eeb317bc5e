"""A batch is asked for in three forms; what is accepted is whole."""

from __future__ import annotations

import json
from typing import Final

import pytest

from core.ids import item_id
from store.cursors import write_cursor
from tests.api.batch_calls import (
    CANARY,
    CSV,
    JSONL,
    SDXL,
    accepted,
    places,
    post,
    post_json,
    requests,
)
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import (
    BATCHES,
    HISTORY,
    Comfy,
    Service,
    assert_problem,
)
from tests.harness.waiting import wait_until


def test_a_batch_is_accepted_and_nothing_of_it_is_begun(service: Service) -> None:
    before = service.count()

    response = post_json(
        service,
        name="foxes by style",
        defaults={"prompt": "a red fox", "steps": 12},
        grid={"cfg": [4.5, 6.5]},
        count=3,
        seed=42,
        max_in_flight=2,
    )

    batch_id = accepted(response)
    document = response.json()
    assert response.headers["location"] == document["urls"]["self"]
    assert response.headers["location"] == f"{service.url}{BATCHES}/{batch_id}"
    assert response.headers["retry-after"] == "1"
    assert "idempotency-replayed" not in response.headers
    assert (document["name"], document["status"]) == ("foxes by style", "queued")
    assert (document["total"], document["percent"], document["seed"]) == (6, 0.0, 42)
    assert document["counts"]["waiting"] == 6
    assert sum(document["counts"].values()) == 6
    assert document["options"]["max_in_flight"] == 2
    assert (document["started_at"], document["finished_at"], document["error"]) == (None,) * 3
    assert document["skipped"] == []
    assert service.batch(batch_id)["total"] == 6
    assert service.count() == before


def test_every_address_that_it_gives_leads_somewhere(service: Service) -> None:
    batch_id = service.created_batch("a fox", "an owl", "a bear")
    first, second = service.worker.begin_batch(batch_id, 2)
    service.worker.finish(first)
    service.worker.start(second)  # so that the cancel lasts

    urls = service.batch(batch_id)["urls"]

    for name in ("self", "items", "results", "contact_sheet"):
        assert service.get(urls[name]).status_code == 200, name
    for name in ("pause", "resume", "cancel"):
        assert service.client.post(urls[name]).status_code == 202, name
    assert_problem(service.client.post(urls["retry_failed"]), 409, "not_retryable")
    item = service.items(batch_id)[0]
    assert service.get(item["images"][0]["url"]).content.startswith(b"\x89PNG")
    assert service.get(item["images"][0]["thumbnail_url"]).status_code == 200


HEADER: Final = "prompt,steps,model,count,metadata.order,seed"
RED_FOX: Final = '"a {red|blue} fox, at ""dawn"""'
THE_SAME: Final = {
    "a CSV file": (
        f"{HEADER}\r\n{RED_FOX},20,,2,17,\r\n\r\nan owl,,{SDXL},,,5\r\n",
        CSV,
    ),
    "a CSV file of Excel's": (
        f"\ufeff{HEADER}\n{RED_FOX},20.0,,2,17,\nan owl,,{SDXL},,,5\n",
        {"Content-Type": "text/csv; charset=UTF-8"},
    ),
    "JSON Lines": (
        json.dumps(
            {
                "prompt": 'a {red|blue} fox, at "dawn"',
                "steps": 20,
                "count": 2,
                "metadata": {"order": "17"},
            }
        )
        + "\n\n"
        + json.dumps({"prompt": "an owl", "model": SDXL, "seed": 5}),
        JSONL,
    ),
}


@pytest.mark.parametrize(("body", "headers"), THE_SAME.values(), ids=THE_SAME)
def test_a_file_makes_what_the_same_rows_in_json_make(
    service: Service, body: str, headers: dict[str, str]
) -> None:
    in_json = accepted(
        post_json(
            service,
            items=[
                {
                    "prompt": 'a {red|blue} fox, at "dawn"',
                    "steps": 20,
                    "count": 2,
                    "metadata": {"order": "17"},
                },
                {"prompt": "an owl", "model": SDXL, "seed": 5},
            ],
            seed=11,
            max_in_flight=3,
            name="animals",
        )
    )

    in_a_file = accepted(
        post(service, body, headers, seed=11, max_in_flight=3, name="animals", wildcards="true")
    )

    assert requests(service, in_a_file) == requests(service, in_json)
    file, other = service.batch(in_a_file), service.batch(in_json)
    assert (file["options"], file["name"]) == (other["options"], "animals")
    assert file["total"] == 3


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-ndjson",
        "application/jsonl",
        "application/x-jsonlines",
        "Application/NDJSON; charset=utf-8",
    ],
)
def test_json_lines_by_any_of_its_names_are_taken(service: Service, kind: str) -> None:
    headers = {"Content-Type": kind}

    accepted(post(service, '{"prompt": "a fox"}', headers))


def test_items_say_where_they_stand_in_the_file(service: Service) -> None:
    batch_id = accepted(post(service, "prompt,count\na fox,2\n\nan owl,\n", CSV))

    items = service.items(batch_id)

    assert [(item["position"], item["row"]) for item in items] == [(0, 2), (1, 2), (2, 4)]
    assert [item["task_id"] for item in items] == [str(item_id(batch_id, n)) for n in range(3)]
    assert [item["generation"] for item in items] == [None, None, None]
    assert [item["images"] for item in items] == [[], [], []]


def test_labels_are_given_back_as_they_are(service: Service) -> None:
    label = {"order": "42", "tags": 'a,"b"\n<c>', "n": 1.5, "done": True, "none": None}
    batch_id = service.created_batch(
        defaults={"metadata": {"from": "defaults", "order": "1"}},
        items=[{"prompt": "a fox", "metadata": label}, {"prompt": "an owl"}],
    )
    [task_id] = service.worker.begin_batch(batch_id, 1)

    assert [request["metadata"] for request in requests(service, batch_id)] == [
        {"from": "defaults", **label},
        {"from": "defaults", "order": "1"},
    ]
    assert service.status(task_id)["request"]["metadata"] == {"from": "defaults", **label}


def test_a_released_item_is_a_generation_like_any_other(service: Service) -> None:
    batch_id = service.created_batch("a fox", "an owl")
    [task_id] = service.worker.begin_batch(batch_id, 1)

    # What it waits for is told as it is at the moment.
    wait_until(lambda: service.items(batch_id)[0]["generation"] == service.status(task_id))
    first, second = service.items(batch_id)
    assert first["generation"]["batch_id"] == str(batch_id)
    assert first["generation"]["request"]["priority"] == "bulk"
    assert (second["generation"], second["request"]["prompt"]) == (None, "an owl")
    history = service.get(HISTORY, params={"batch_id": str(batch_id)}).json()["items"]
    assert [item["task_id"] for item in history] == [str(task_id)]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        (" two\r\nlines\t ", "two lines"),
        ("abc\u202egnp", "abc\ufffdgnp"),
        ("a/b 🦊", "a/b 🦊"),
    ],
)
def test_a_name_is_one_line_that_steers_nothing(service: Service, given: str, shown: str) -> None:
    answer = post_json(service, name=given, items=[{"prompt": "a fox"}])
    assert answer.status_code == 202
    assert answer.json()["name"] == shown


def test_half_a_character_in_a_grid_is_refused(service: Service) -> None:
    body = b'{"defaults": {"prompt": "a fox"}, "grid": {"prompt": ["\\ud800"]}}'
    headers = {"Content-Type": "application/json"}
    refused = service.client.post(BATCHES, content=body, headers=headers)
    assert_problem(refused, 422, "invalid_manifest")


def test_a_blank_name_is_none(service: Service) -> None:
    answer = post_json(service, name=" \n", items=[{"prompt": "a fox"}])
    assert answer.json()["name"].startswith("batch of ")


def test_without_a_name_it_has_one_all_the_same(service: Service) -> None:
    assert service.batch(service.created_batch("a fox"))["name"].startswith("batch of ")


def test_wildcard_lists_lie_in_the_home(service: Service) -> None:
    folder = service.home / "wildcards"
    (folder / "forest").mkdir(parents=True, exist_ok=True)
    (folder / "forest" / "animal.txt").write_text("# of the forest\nlynx\n\n", encoding="utf-8")

    batch_id = service.created_batch("a __forest/animal__")

    assert requests(service, batch_id)[0]["prompt"] == "a lynx"
    unknown = post_json(service, items=[{"prompt": f"a __nix__ {CANARY}"}])
    assert places(unknown) == [(["row", 1, "prompt"], "wildcard")]
    literally = service.created_batch("a __nix__", wildcards=False)
    assert requests(service, literally)[0]["prompt"] == "a __nix__"


def test_a_list_that_is_no_utf_8_disturbs_only_batches_that_name_it(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    (service.home / "wildcards").mkdir()
    (service.home / "wildcards" / "tree.txt").write_bytes("Bäume".encode("latin-1"))
    (service.home / "wildcards" / "animal.txt").write_bytes(b"fox")

    for prompt in ("a fox", "a __animal__"):
        accepted(post_json(service, items=[{"prompt": prompt}]))
    accepted(post_json(service, items=[{"prompt": "a __tree__"}], wildcards=False))
    refused = post_json(service, items=[{"prompt": "a __tree__"}])

    assert refused.status_code == 422
    assert "the list tree.txt is not UTF-8; save the file as UTF-8" in refused.json()["detail"]


@pytest.mark.parametrize("seed", range(5))
def test_a_bad_line_of_a_list_is_found_by_a_dry_run(service: Service, seed: int) -> None:
    folder = service.home / "wildcards"
    folder.mkdir(exist_ok=True)
    (folder / "mostly good.txt").write_text("fox\n" * 9 + "{oops\n", encoding="utf-8")
    batch = {"defaults": {"prompt": "a __mostly good__"}, "seed": seed}

    planned = service.client.post(f"{BATCHES}?dry_run=true", json=batch)

    assert places(planned) == [(["row", 1, "prompt"], "wildcard")]
    assert "the list mostly good, line 10: a { is never closed" in planned.json()["detail"]


def test_ten_thousand_rows_are_one_request(service: Service) -> None:
    batches, items = service.batch_counts()
    lines = "".join(f"a fox number {n},{n % 20 + 1}\n" for n in range(10_000))

    response = service.client.post(
        BATCHES, content=f"prompt,steps\n{lines}".encode(), headers=CSV, timeout=100
    )

    batch_id = accepted(response)
    assert response.json()["total"] == 10_000
    assert service.batch_counts() == (batches + 1, items + 10_000)
    last = service.get(
        f"{BATCHES}/{batch_id}/items", params={"cursor": write_cursor("i", 9_998)}
    ).json()
    assert [item["request"]["prompt"] for item in last["items"]] == ["a fox number 9999"]
