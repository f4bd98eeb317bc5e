"""What the forms of batches and schedules ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nicegui.elements.upload_files import SmallFileUpload
from pydantic import ValidationError

import web.forms.manifests
from api.batches.facade import Manifest
from api.errors import ProblemError
from comfy import TXT2IMG
from core.batches.expansion import Item, expand
from core.batches.lists import Lists
from core.batches.request import FlowBatchRequest
from web.forms.batch_drafts import Axis, BulkDraft, ScheduleDraft, size_of
from web.forms.manifests import Manifests
from web.parts.layout import STATIC


@pytest.fixture
def files(tmp_path: Path) -> Manifests:
    return Manifests(tmp_path / "manifests", 1000)


def request(files: Manifests, **values: Any) -> FlowBatchRequest:
    return asked(BulkDraft(**{"prompt": "a fox", **values}).manifest(files, None))


def asked(manifest: Manifest) -> FlowBatchRequest:
    assert manifest.request is not None
    return manifest.request


def made(asked: FlowBatchRequest) -> list[dict[str, Any]]:
    found = list(expand(asked, None, 1, Lists.of({}), TXT2IMG))
    assert all(isinstance(one, Item) for one in found), found
    return [one.request.model_dump() for one in found if isinstance(one, Item)]


def test_what_is_left_alone_is_left_to_the_server(files: Manifests) -> None:
    asked = request(files)
    assert asked.defaults == {"prompt": "a fox"}
    assert (asked.grid, asked.items, asked.seed, asked.count) == (None, None, None, 1)
    assert asked.max_in_flight == FlowBatchRequest().max_in_flight


def test_one_value_is_for_all_and_several_are_a_list(files: Manifests) -> None:
    asked = request(
        files,
        models=["a.safetensors", "b.safetensors"],
        axes=[Axis(field="steps", text="20, 30"), Axis(field="cfg", text="4.5")],
        negative="blurry",
        count=2,
    )
    assert asked.grid == {"model": ["a.safetensors", "b.safetensors"], "steps": [20, 30]}
    assert asked.defaults == {"prompt": "a fox", "cfg": 4.5, "negative_prompt": "blurry"}
    assert len(made(asked)) == 8


def test_sizes_stay_together_in_a_product(files: Manifests) -> None:
    asked = request(files, sizes=["512 × 512", "512x768"], axes=[Axis(field="seed", text="1 2 3")])
    found = {(one["width"], one["height"], one["seed"]) for one in made(asked)}
    sizes = ((512, 512), (512, 768))
    assert found == {(*size, seed) for size in sizes for seed in (1, 2, 3)}


def test_side_by_side_takes_the_first_values_together(files: Manifests) -> None:
    draft: dict[str, Any] = {
        "prompt": "a fox\nan owl",
        "each_line": True,
        "sizes": ["512 × 512", "768 × 512"],
        "combine": "zip",
    }
    found = [(one["prompt"], one["width"]) for one in made(request(files, **draft))]
    assert found == [("a fox", 512), ("an owl", 768)]
    with pytest.raises(ValidationError, match="equally long"):
        request(files, **draft, axes=[Axis(field="steps", text="1, 2, 3")])


def test_lines_are_prompts_only_when_asked(files: Manifests) -> None:
    assert len(made(request(files, prompt="a fox\nat dawn"))) == 1
    assert len(made(request(files, prompt="a fox\n\nan owl", each_line=True))) == 2


def test_options(files: Manifests) -> None:
    draft = BulkDraft(
        prompt="x",
        name=" foxes ",
        seed=7,
        max_in_flight=2,
        stop_after_failures=3,
        stop_at_percent=25,
        not_after="06:30",
    )
    options = asked(draft.manifest(files, "Europe/Berlin")).options
    assert (options.name, options.seed, options.max_in_flight) == ("foxes", 7, 2)
    assert (options.stop_after_failures, options.stop_at_failure_share) == (3, 0.25)
    assert (options.not_after, options.timezone) == ("06:30", "Europe/Berlin")
    assert asked(draft.manifest(files, None, seed=8)).seed == 8
    draft.timezone = "Asia/Tokyo"
    assert asked(draft.manifest(files, "Europe/Berlin")).timezone == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"prompt": "  "}, "Describe the image first"),
        ({"axes": [Axis(field="steps", text="20, many")]}, "Steps: “many” is not a whole number"),
        ({"axes": [Axis(field="cfg", text="x")]}, "CFG: “x” is not a number"),
        ({"axes": [Axis(field="steps", text=" , ")]}, "Steps: add a value, or remove the field"),
        ({"axes": [Axis(field="sampler")]}, "Sampler: add a value, or remove the field"),
        ({"sizes": ["large"]}, "width × height"),
        ({"way": "file"}, "Choose a file first"),
    ],
)
def test_what_cannot_be_read_is_said(files: Manifests, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        request(files, **values)


def test_a_size() -> None:
    assert size_of("512 × 768") == size_of("512x768") == size_of(" 512 X 768 ") == (512, 768)


async def test_a_file_is_kept_until_it_is_forgotten(files: Manifests) -> None:
    kept = await files.keep(SmallFileUpload("../my foxes.CSV", "", b"prompt\nx\n"))
    manifest = BulkDraft(way="file", file=kept, skip_bad=True, count=3).manifest(files, None)
    assert (manifest.kind, manifest.skip_bad, asked(manifest).count) == ("csv", True, 3)
    assert manifest.default_name == "my foxes"
    named = BulkDraft(way="file", file=kept, name="n").manifest(files, None)
    assert asked(named).name == "n"
    assert manifest.file is not None
    assert manifest.file.read_bytes() == b"prompt\nx\n"
    await files.forget(kept)
    with pytest.raises(ProblemError, match="choose the file again"):
        BulkDraft(way="file", file=kept).manifest(files, None)


async def test_files_that_nobody_came_back_for_are_removed(
    files: Manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await files.keep(SmallFileUpload("foxes.csv", "", b"prompt\nx\n"))
    files.prune()
    assert files.path(kept).exists()
    monkeypatch.setattr(web.forms.manifests, "KEPT_S", -1.0)
    files.prune()
    with pytest.raises(ProblemError):
        files.path(kept)


@pytest.mark.parametrize(
    ("name", "kind", "size", "said"),
    [("x.xlsx", "", 5, "CSV or JSON Lines"), ("x.csv", "", 2000, "1.0 kB at most")],
)
async def test_a_file_that_is_no_manifest_is_refused(
    files: Manifests, name: str, kind: str, size: int, said: str
) -> None:
    with pytest.raises(ProblemError, match=said):
        await files.keep(SmallFileUpload(name, kind, b"x" * size))


async def test_the_samples_can_be_made(files: Manifests) -> None:
    for name in ("sample.csv", "sample.jsonl"):
        kept = await files.keep(SmallFileUpload(name, "", (STATIC / name).read_bytes()))
        assert kept.kind == name.rpartition(".")[2]


@pytest.mark.parametrize(
    ("values", "cron", "interval_s"),
    [
        ({}, "0 2 * * *", None),
        ({"days": "* * 1-5", "time": "18:05"}, "5 18 * * 1-5", None),
        ({"way": "every", "every": 90}, None, 5400),
        ({"way": "every", "every": 2, "unit": "hours"}, None, 7200),
        ({"way": "cron", "cron": " */5 * * * * "}, "*/5 * * * *", None),
    ],
)
def test_when_a_schedule_begins(
    values: dict[str, Any], cron: str | None, interval_s: float | None
) -> None:
    asked = ScheduleDraft(name="n", prompt="x", **values).request("Europe/Berlin")
    assert (asked.cron, asked.interval_s) == (cron, interval_s)
    assert asked.timezone == "Europe/Berlin"


def test_what_a_schedule_makes() -> None:
    draft = ScheduleDraft(
        name="n", prompt="a fox\nan owl", each_line=True, model="m", count=3, not_after="07:00"
    )
    batch = draft.request(None).batch
    assert batch.grid == {"prompt": ["a fox", "an owl"]}
    assert (batch.defaults, batch.count, batch.not_after) == ({"model": "m"}, 3, "07:00")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": " "}, "Enter a name"),
        ({"prompt": ""}, "Describe the image"),
        ({"time": ""}, "the time at which"),
        ({"way": "every", "every": None}, "how often"),
    ],
)
def test_what_a_schedule_lacks_is_said(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        ScheduleDraft(**{"name": "n", "prompt": "x", **values}).request(None)
