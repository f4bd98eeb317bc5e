"""`easel bulk` against an API that misbehaves."""

from __future__ import annotations

import csv
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cli.bulk.order import BatchOrder
from comfy import TXT2IMG
from core.batches.columns import Columns
from core.batches.manifest import Row, read_manifest
from core.batches.request import BatchRequest, FileOptions
from core.callbacks.callback import Callback
from tests.cli.running import Ended, easel, started
from tests.cli.scripted_batches import (
    BATCH,
    LOST,
    ScriptedBatches,
    batch,
    failed_item,
    image,
    item,
    serve_batches,
)
from tests.harness.processes import free_port

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
ROWS = b"prompt,count\na {red|silver} fox,2\nan owl,\n"
SKIPPED = {"row": 3, "column": "steps", "code": "less_than_equal", "message": "at most 150"}
PLAN = {
    "total": 2,
    "seed": 42,
    "models": {"a.safetensors": 2},
    "estimated_s": 12.0,
    "samples": [],
    "skipped": [SKIPPED],
}
REFUSED = {
    "code": "invalid_manifest",
    "detail": "row 3, steps: at most 150. Nothing was created.",
    "errors": [{"loc": ["row", 3, "steps"], "code": "less_than_equal", "message": "at most 150"}],
}
IN_FLIGHT = {"code": "idempotency_in_flight", "detail": "this batch is being accepted, or was"}


@pytest.fixture
async def api() -> AsyncIterator[ScriptedBatches]:
    async with serve_batches(ScriptedBatches()) as api:
        yield api


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "animals.csv"
    path.write_bytes(ROWS)
    return path


async def _bulk(api: ScriptedBatches, file: Path, *more: str) -> Ended:
    return await easel("bulk", str(file), "--api", api.url, *more, home=file.parent)


def _rows_of(report: Path) -> list[list[str]]:
    with report.open(encoding="utf-8", newline="") as text:
        return list(csv.reader(text))


async def test_a_file_is_sent_with_its_options_and_key_and_followed_to_its_end(
    api: ScriptedBatches, file: Path
) -> None:
    api.now = batch("queued")
    api.next = [batch("running", succeeded=2), batch("succeeded", succeeded=4)]
    options = {"seed": 7, "wildcards": False, "max_in_flight": 4, "stop_at_failure_share": 0.5}
    ended = await _bulk(
        api,
        file,
        *("--seed", "7", "--no-wildcards", "--max-in-flight", "4"),
        *("--stop-at-failure-share", "0.5"),
    )
    (sent,) = api.sent
    body = BatchOrder(file, options).body()
    assert (sent.body, sent.content_type, sent.key) == (ROWS, "text/csv", body.key)
    assert sent.query == body.query
    assert ended.code == 0
    assert "running, 2/4 done" in ended.err
    assert "animals: succeeded\n  done        4 of 4\n  GPU         1.5 s\n" in ended.out
    assert f"{api.url}/b/{BATCH}\n" in ended.out
    assert f"{api.url}/api/v1/batches/{BATCH}\n" in ended.out


async def test_options_are_merged_into_a_request_in_json(
    api: ScriptedBatches, tmp_path: Path
) -> None:
    (tmp_path / "grid.json").write_text('{"seed": 1, "defaults": {"prompt": "a fox"}}')
    ended = await _bulk(api, tmp_path / "grid.json", "--seed", "2", "--vary-seed", "--skip-bad")
    assert ended.code == 0
    (sent,) = api.sent
    request = {"name": "grid", "seed": 2, "vary_seed": True, "defaults": {"prompt": "a fox"}}
    assert json.loads(sent.body) == request
    assert (sent.content_type, sent.query) == ("application/json", {"skip_bad": "true"})


CALLBACK = (
    *("--callback-url", "https://shop.example/easel?key=1"),
    *("--callback-event", "batch.succeeded", "--callback-event", "generation.succeeded"),
)


async def test_the_callback_of_a_file_is_said_in_its_query(
    api: ScriptedBatches, file: Path
) -> None:
    assert (await _bulk(api, file, *CALLBACK)).code == 0
    assert (await _bulk(api, file, "--callback", "shop")).code == 0
    by_url, by_name = (sent.query for sent in api.sent)
    assert by_url["callback_url"] == "https://shop.example/easel?key=1"
    assert by_url["callback_events"] == "batch.succeeded,generation.succeeded"
    assert by_name["callback"] == "shop"
    assert "callback_events" not in by_name
    assert FileOptions.model_validate_strings(by_url).callback_events == [
        "batch.succeeded",
        "generation.succeeded",
    ]


async def test_the_callback_of_a_request_in_json_is_in_its_body(
    api: ScriptedBatches, tmp_path: Path
) -> None:
    (tmp_path / "grid.json").write_text('{"callback": "shop", "defaults": {"prompt": "a fox"}}')
    assert (await _bulk(api, tmp_path / "grid.json", "--callback", "other")).code == 0
    (tmp_path / "rows.json").write_text('{"defaults": {"prompt": "a fox"}}')
    assert (await _bulk(api, tmp_path / "rows.json", *CALLBACK)).code == 0
    by_name, by_url = (json.loads(sent.body) for sent in api.sent)
    assert by_name["callback"] == "other"
    assert BatchRequest.model_validate(by_url).wanted_callback == Callback(
        url="https://shop.example/easel?key=1", events=("batch.succeeded", "generation.succeeded")
    )
    assert [sent.query for sent in api.sent] == [{}, {}]


async def test_a_refused_callback_is_told_as_its_option_without_its_url(
    api: ScriptedBatches, file: Path
) -> None:
    errors = [
        {"loc": ["query", "callback_url"], "code": "x", "message": "must have no fragment"},
        {"loc": ["query", "callback_events", 0], "code": "x", "message": "no such event"},
    ]
    api.creates = [(422, {"detail": "not valid", "errors": errors})]
    ended = await _bulk(api, file, *CALLBACK)
    assert ended.code == 2
    assert "  --callback-url: must have no fragment" in ended.err
    assert "  --callback-event: no such event" in ended.err
    assert "shop.example" not in ended.err + ended.out


@pytest.mark.parametrize(
    ("status", "change", "said"),
    [
        ("failed", ["retry-failed"], "generating what is missing"),
        ("cancelled", ["retry-failed"], "generating what is missing"),
        ("paused", ["resume"], "resuming it"),
        ("running", [], "following it"),
    ],
)
async def test_the_same_command_goes_on_with_the_same_batch(
    api: ScriptedBatches, file: Path, status: str, change: list[str], said: str
) -> None:
    api.replayed, api.now = True, batch(status)
    api.next = [batch("running"), batch("succeeded", succeeded=4)]
    ended = await _bulk(api, file)
    assert ended.code == 0
    assert api.changes == change
    assert f"exists already, {status}: {said}" in ended.err


async def test_what_is_made_is_said_to_be_and_what_is_missing_is_fetched(
    api: ScriptedBatches, file: Path
) -> None:
    api.replayed, api.now = True, batch("succeeded", 2, succeeded=2)
    api.show(item(0, b"0"), item(1, b"1"), p1_0=b"1")
    out = file.parent / "out"
    out.mkdir()
    (out / "00001-a-red-fox.png").write_bytes(b"0")
    ended = await _bulk(api, file, "--out", str(out))
    assert ended.code == 0
    assert "succeeded: it is complete" in ended.err
    assert f"images      1 saved in {out}, 1 were already there" in ended.out
    assert (api.downloads, api.changes) == (["1-0"], [])
    assert (out / "00002-a-red-fox.png").read_bytes() == b"1"


async def test_what_are_not_only_images_are_called_files(api: ScriptedBatches, file: Path) -> None:
    api.replayed, api.now = True, batch("succeeded", 1, succeeded=1)
    film = {**image(b"0"), "artefact_id": "0-0", "kind": "video", "name": "film.mp4"}
    api.show(item(0, b"0", outputs=[film]), p0_0=b"0")
    out = file.parent / "out"
    ended = await _bulk(api, file, "--out", str(out))
    assert f"files       1 saved in {out}" in ended.out


async def test_again_asks_with_another_key(api: ScriptedBatches, file: Path) -> None:
    for _ in range(2):
        assert (await _bulk(api, file, "--again")).code == 0
    assert len({sent.key for sent in api.sent} | {BatchOrder(file, {}).body().key}) == 3


@pytest.mark.parametrize("answer", [(LOST, {}), (409, IN_FLIGHT)], ids=["lost", "in flight"])
async def test_a_create_that_was_not_answered_is_sent_again_as_it_was(
    api: ScriptedBatches, file: Path, answer: tuple[int, dict[str, Any]]
) -> None:
    api.creates = [answer]
    assert (await _bulk(api, file)).code == 0
    first, second = api.sent
    assert first == second


async def test_an_api_that_restarts_does_not_end_it(file: Path) -> None:
    api = ScriptedBatches(now=batch("running"))
    out = file.parent / "out"
    async with AsyncExitStack() as stack:
        async with serve_batches(api):
            arguments = ["bulk", str(file), "--api", api.url, "--out", str(out)]
            command = await stack.enter_async_context(started(*arguments, home=file.parent))
            await api.asked.wait()
        await command.until("trying again", 20)
        api.now = batch("succeeded", 1, succeeded=1)
        api.show(item(0, b"0"), p0_0=b"0")
        await stack.enter_async_context(serve_batches(api, urlsplit(api.url).port or 0))
        assert await command.ends(20) == 0
    assert [path.name for path in out.iterdir()] == ["00001-a-red-fox.png"]


async def test_failures_are_told_and_end_it_with_one(api: ScriptedBatches, file: Path) -> None:
    api.now = {**batch("failed", succeeded=2, failed=2), "error": {"detail": "2 failed."}}
    api.items = [failed_item(0, "no memory"), failed_item(2, "no memory"), item(1)]
    ended = await _bulk(api, file)
    assert ended.code == 1
    assert "animals: failed. 2 failed.\n" in ended.out
    assert "  2 × no memory (rows 2, 4)\n" in ended.out


@pytest.mark.parametrize(
    "document",
    [
        batch("cancelled", cancelled=4),
        batch("failed", succeeded=4),
        batch("paused", code="outside_window", succeeded=2, waiting=2),
    ],
    ids=lambda document: str(document["status"]),
)
async def test_only_success_ends_it_with_zero(
    api: ScriptedBatches, file: Path, document: dict[str, Any]
) -> None:
    api.now = document
    assert (await _bulk(api, file)).code == 1


async def test_a_damaged_picture_is_no_success(api: ScriptedBatches, file: Path) -> None:
    api.show(item(0, b"whole"), p0_0=b"half")
    ended = await _bulk(api, file, "--out", str(file.parent / "out"))
    assert ended.code == 1
    assert "1 arrived damaged" in ended.out


async def test_a_batch_that_is_gone_ends_it_with_one(api: ScriptedBatches, file: Path) -> None:
    api.now, api.next = batch("running"), [404]
    ended = await _bulk(api, file)
    assert ended.code == 1
    assert "Traceback" not in ended.err


async def test_a_bad_manifest_is_a_table_and_a_report(api: ScriptedBatches, file: Path) -> None:
    api.creates = [(422, REFUSED)]
    report = file.parent / "bad.csv"
    ended = await _bulk(api, file, "--report", str(report))
    assert (ended.code, ended.out) == (2, "")
    assert "  3  steps   at most 150" in ended.err
    assert "Nothing was created." in ended.err
    assert _rows_of(report)[1:] == [["3", "steps", "less_than_equal", "at most 150"]]


async def test_skipped_rows_are_told_and_reported(api: ScriptedBatches, file: Path) -> None:
    api.now["skipped"] = [SKIPPED]
    report = file.parent / "bad.csv"
    ended = await _bulk(api, file, "--skip-bad", "--report", str(report))
    assert ended.code == 0
    assert api.sent[0].query["skip_bad"] == "true"
    assert f"1 row skipped; {report} names them." in ended.err
    assert _rows_of(report) == [
        ["row", "column", "code", "message"],
        ["3", "steps", "less_than_equal", "at most 150"],
    ]


async def test_the_report_is_the_same_the_second_time(api: ScriptedBatches, file: Path) -> None:
    api.replayed, api.plan = True, PLAN  # the answer to a repeated create names no rows
    report = file.parent / "bad.csv"
    ended = await _bulk(api, file, "--skip-bad", "--report", str(report))
    assert ended.code == 0
    assert [sent.query.get("dry_run") for sent in api.sent] == [None, "true"]
    assert _rows_of(report)[1:] == [["3", "steps", "less_than_equal", "at most 150"]]


async def test_a_dry_run_creates_nothing(api: ScriptedBatches, file: Path) -> None:
    api.plan = PLAN
    ended = await _bulk(api, file, "--dry-run", "--skip-bad", "--out", str(file.parent / "out"))
    assert ended.code == 0
    assert "animals.csv: 2 generations; nothing was created." in ended.out
    assert "1 row skipped" in ended.err
    (sent,) = api.sent
    assert (sent.query["dry_run"], sent.key) == ("true", None)
    assert not (file.parent / "out").exists()


async def test_a_dry_run_of_a_bad_manifest_is_bad_usage(api: ScriptedBatches, file: Path) -> None:
    api.creates = [(422, REFUSED)]
    ended = await _bulk(api, file, "--dry-run")
    assert (ended.code, ended.out) == (2, "")
    assert "  3  steps   at most 150" in ended.err


async def test_without_waiting_it_ends_when_the_batch_is_accepted(
    api: ScriptedBatches, file: Path
) -> None:
    api.now = batch("queued")
    ended = await _bulk(api, file, "--no-wait")
    assert (ended.code, ended.out) == (0, f"{api.url}/b/{BATCH}\n")
    assert not api.asked.is_set()


async def test_what_cannot_be_written_is_said_before_anything_is_created(
    api: ScriptedBatches, file: Path
) -> None:
    nowhere = str(file / "out")
    for option, value in (("--out", nowhere), ("--report", nowhere)):
        ended = await _bulk(api, file, option, value)
        assert ended.code == 2
        assert "cannot be written" in ended.err
    assert (await _bulk(api, file, "--out", "out", "--no-wait")).code == 2
    assert api.sent == []


async def test_nobody_there(file: Path) -> None:
    nowhere = ScriptedBatches(url=f"http://127.0.0.1:{free_port()}")
    ended = await _bulk(nowhere, file)
    assert ended.code == 3
    assert "easel up" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("none.csv",),
        ("animals.xlsx",),
        ("animals.csv", "--count", "0"),
        ("animals.csv", "--seed", "x"),
    ],
    ids=" ".join,
)
async def test_bad_usage(arguments: tuple[str, ...], file: Path) -> None:
    (file.parent / "animals.xlsx").touch()
    name, *more = arguments
    ended = await easel("bulk", str(file.parent / name), *more, home=file.parent)
    assert ended.code == 2
    assert "Traceback" not in ended.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_ctrl_c_leaves_the_batch_and_says_how_to_come_back(
    api: ScriptedBatches, file: Path
) -> None:
    api.now = batch("running")
    command_line = ["bulk", str(file), "--api", api.url, "--out", str(file.parent / "out")]
    async with started(*command_line, home=file.parent) as command:
        await command.until("running", 20)
        command.process.send_signal(signal.SIGINT)
        assert await command.ends(10) == 130
    assert "continues by itself" in command.said
    assert f"easel bulk {file}" in command.said
    assert f"/api/v1/batches/{BATCH}/cancel" in command.said
    assert "Traceback" not in command.said
    assert api.changes == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_ctrl_c_before_the_answer(api: ScriptedBatches, file: Path) -> None:
    api.silent = True
    async with started("bulk", str(file), "--api", api.url, home=file.parent) as command:
        await api.asked.wait()
        command.process.send_signal(signal.SIGINT)
        assert await command.ends(10) == 130
    assert "the same command finds it again" in command.said


def test_the_example_of_rows_is_a_manifest() -> None:
    rows = list(read_manifest(EXAMPLES / "animals.csv", "csv", Columns(TXT2IMG)))
    assert len(rows) == 12
    assert all(isinstance(row, Row) for row in rows)


def test_the_example_of_a_grid_is_a_request() -> None:
    request = BatchRequest.model_validate_json((EXAMPLES / "grid.json").read_bytes())
    assert set(request.grid or {}) == {"cfg", "sampler"}
