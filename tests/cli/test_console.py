"""What is printed, on any terminal or pipe: missing characters, hostile ones, no reader."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from cli.console import console_on, live_bars, open_streams
from tests.cli.running import EASEL, easel_process, environment
from tests.cli.scripted_api import PICTURE, ScriptedApi, document, send, serve

ENCODINGS = ["cp1252", "cp437", "cp932", "gbk", "latin-1", "ascii", "utf-8"]
HOSTILE = "a\x1b[31m red\x1b]0;T\x07 \x9b2J\u202efox\u2066 \x00\rend"
HARMLESS = "a[31m red]0;T 2Jfox end"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_text_with_characters_that_the_encoding_lacks_is_printed(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    open_streams()
    table = Table("✓", "…")
    table.add_row(Text("✗ 1 × 2 → 3"), Text("лис 狐 🦊 caf\udce9"))
    console_on(sys.stdout).print(table)
    said = written.getvalue().decode(encoding)
    assert "1 " in said
    assert "caf?" in said
    assert ("✓" in said) is (encoding == "utf-8")


async def test_a_picture_is_saved_and_said_to_be_where_stdout_is_ascii(tmp_path: Path) -> None:
    async def to_the_end(response: object, _last_id: str | None) -> None:
        await send(response, "status", document("succeeded"))  # type: ignore[arg-type]

    folder = tmp_path / "für später"
    async with serve(ScriptedApi(streams=[to_the_end])) as api:
        ended = await easel_process(
            *("generate", "лис", "--api", api.url, "--out", str(folder)),
            home=tmp_path,
            more={"PYTHONIOENCODING": "ascii"},
        )
    [file] = folder.iterdir()
    assert file.read_bytes() == PICTURE
    assert ended.code == 0, ended.err
    assert "f?r sp?ter" in ended.out


@pytest.mark.parametrize("command", [["doctor"], ["bulk", "-h"]])
async def test_a_command_with_signs_and_boxes_ends_as_usual_in_any_encoding(
    command: list[str], tmp_path: Path
) -> None:
    plain = await easel_process(*command, home=tmp_path)
    ended = await easel_process(*command, home=tmp_path, more={"PYTHONIOENCODING": "cp437"})
    assert ended.code == plain.code
    assert "Traceback" not in ended.err
    assert len(ended.out.splitlines()) == len(plain.out.splitlines())


@pytest.mark.parametrize("command", [["doctor"], ["bulk", "-h"], ["--version"]])
def test_a_reader_that_left_is_no_error(command: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody_reads:
        ended = subprocess.run(
            [*EASEL, *command],
            stdin=subprocess.DEVNULL,
            stdout=nobody_reads,
            stderr=subprocess.PIPE,
            env=environment(tmp_path, {"PYTHONUNBUFFERED": ""}),
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.stderr == ""
    assert ended.returncode in (0, 1)  # 120: the interpreter could not flush


def test_nothing_that_is_printed_steers_the_terminal() -> None:
    written = io.StringIO()
    console = console_on(written)
    table = Table(box=None, pad_edge=False)
    table.add_column("row")
    table.add_row(Text(HOSTILE))
    console.print(HOSTILE)
    console.print(HOSTILE, style="red")
    console.print(table)
    lines = [line.rstrip() for line in written.getvalue().splitlines()]
    assert lines == [HARMLESS, HARMLESS, "row", HARMLESS]


def test_a_bar_does_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with live_bars() as progress:
        progress.add_task(HOSTILE, total=1)
    assert HARMLESS in written.getvalue()


def test_lines_and_columns_of_a_text_stay() -> None:
    written = io.StringIO()
    console_on(written).print("one\n\ttwo")
    assert written.getvalue().split() == ["one", "two"]
    assert len(written.getvalue().splitlines()) == 2
