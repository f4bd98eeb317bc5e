from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.batch_body import BatchBody
from cli.bulk.order import BatchOrder
from cli.console import CommandError

ROWS = b"prompt\na red fox\n"


def _body(path: Path, data: bytes = ROWS, *, skip_bad: bool = False, **options: Any) -> BatchBody:
    path.write_bytes(data)
    return BatchOrder(path, options, skip_bad=skip_bad).body()


async def _sent(body: BatchBody) -> bytes:
    return b"".join([chunk async for chunk in body.chunks()])


def test_the_same_file_and_options_have_the_same_key(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = _body(tmp_path / "animals.csv", seed=7)
    second = _body(tmp_path / "other" / "animals.csv", seed=7)
    assert first.key == second.key
    assert first.key.startswith("bulk-")
    assert len(first.key) <= 100


@pytest.mark.parametrize(
    "option",
    [
        {"max_in_flight": 4},
        {"stop_after_failures": 3},
        {"stop_at_failure_share": 0.5},
        {"not_after": "06:30"},
        {"timezone": "Europe/Berlin"},
    ],
    ids=str,
)
def test_how_it_is_done_does_not_change_the_key(tmp_path: Path, option: dict[str, Any]) -> None:
    for file, data in (("animals.csv", ROWS), ("animals.json", b"{}")):
        path = tmp_path / file
        assert _body(path, data, **option).key == _body(path, data).key


def test_what_is_made_changes_the_key(tmp_path: Path) -> None:
    csv, jsonl = tmp_path / "animals.csv", tmp_path / "animals.jsonl"
    bodies = [
        _body(csv),
        _body(csv, b"prompt\na red fox \n"),
        _body(csv, count=2),
        _body(csv, seed=7),
        _body(csv, wildcards=False),
        _body(csv, name="others"),
        _body(csv, skip_bad=True),
        _body(jsonl),
        _body(tmp_path / "animals.json", b"{}"),
        _body(tmp_path / "animals.json", b"{}", seed=7),
    ]
    assert len({body.key for body in bodies}) == len(bodies)


def test_again_is_another_batch_each_time(tmp_path: Path) -> None:
    (tmp_path / "animals.csv").write_bytes(ROWS)
    order = BatchOrder(tmp_path / "animals.csv", {}, again=True)
    assert order.body().key != order.body().key


async def test_a_file_is_sent_as_it_is_with_its_options_in_the_query(tmp_path: Path) -> None:
    body = _body(
        tmp_path / "Animals.CSV", seed=7, wildcards=False, stop_at_failure_share=0.5, skip_bad=True
    )
    assert body.content_type == "text/csv"
    assert list(body.query.items()) == [
        ("name", "Animals"),
        ("seed", "7"),
        ("stop_at_failure_share", "0.5"),
        ("wildcards", "false"),
        ("skip_bad", "true"),
    ]
    assert await _sent(body) == ROWS
    assert await _sent(body) == ROWS, "a second time too, when the first answer was lost"


@pytest.mark.parametrize("ending", ["jsonl", "ndjson", "NDJSON"])
def test_json_lines_are_told_as_such(tmp_path: Path, ending: str) -> None:
    assert _body(tmp_path / f"a.{ending}", b"{}\n").content_type == "application/x-ndjson"


async def test_a_file_that_changes_while_it_is_read_is_never_sent_to_its_end(
    tmp_path: Path,
) -> None:
    body = _body(tmp_path / "animals.csv")
    (tmp_path / "animals.csv").write_bytes(b"prompt\na grey fox\n")
    with pytest.raises(CommandError, match="Nothing was created"):
        await _sent(body)


async def test_options_override_those_of_the_json(tmp_path: Path) -> None:
    request = {"name": "foxes", "count": 2, "seed": 1, "defaults": {"prompt": "füchse", "cfg": 4.5}}
    data = json.dumps(request).encode()
    body = _body(tmp_path / "a.json", data, seed=9, wildcards=False)
    assert body.query == {}
    assert json.loads(await _sent(body)) == {**request, "seed": 9, "wildcards": False}


@pytest.mark.parametrize(
    ("data", "options", "name"),
    [
        (b"{}", {}, "grid"),
        (b"\xef\xbb\xbf{}", {}, "grid"),
        (b'{"name": "foxes"}', {}, "foxes"),
        (b'{"name": "foxes"}', {"name": "owls"}, "owls"),
    ],
)
async def test_the_name_is_the_files_unless_it_is_said(
    tmp_path: Path, data: bytes, options: dict[str, Any], name: str
) -> None:
    body = _body(tmp_path / "grid.json", data, **options)
    assert json.loads(await _sent(body))["name"] == name


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"seed": 1, "seed": 2}', b"\xff", b"NaN"])
def test_json_that_is_no_request_cannot_be_used(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CommandError) as raised:
        _body(tmp_path / "a.json", data)
    assert raised.value.exit_code == 2


def test_another_kind_of_file_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"must end in \.csv") as raised:
        _body(tmp_path / "animals.xlsx")
    assert raised.value.exit_code == 2


def test_a_file_that_went_away_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read") as raised:
        BatchOrder(tmp_path / "animals.csv", {}).body()
    assert raised.value.exit_code == 2
