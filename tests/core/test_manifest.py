"""Rows come out of a file as spreadsheets and scripts write it, each mistake with its line."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfy import TXT2IMG
from core.batches.columns import Columns
from core.batches.manifest import (
    HEADER_PROBLEMS,
    LINES_MAX,
    ROW_MAX,
    ROW_PROBLEMS_MAX,
    Kind,
    Row,
    guess_kind,
    name_of_file,
    read_manifest,
)
from core.problems import FieldProblem

CANARY = "zx81canary"


def read(folder: Path, content: str | bytes, kind: Kind = "csv") -> list[Row | FieldProblem]:
    path = folder / "manifest"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_manifest(path, kind, Columns(TXT2IMG)))


def problems(found: list[Row | FieldProblem]) -> list[tuple[int, str | None, str]]:
    """Where and what, after a look that nothing is echoed."""
    assert CANARY not in "".join(each.message for each in found if isinstance(each, FieldProblem))
    return [(each.row, each.column, each.code) for each in found if isinstance(each, FieldProblem)]


def fields(found: list[Row | FieldProblem]) -> list[dict[str, Any]]:
    return [each.fields for each in found if isinstance(each, Row)]


# --- CSV ---


def test_cells_become_what_their_fields_are(tmp_path: Path) -> None:
    header = "prompt,steps,cfg,seed,model,priority,count,metadata.order,metadata.who"
    found = read(tmp_path, f"{header}\na red fox,20,6.5,7,x.safetensors,bulk,3,007,Ann\n")

    expected = {
        "prompt": "a red fox",
        "steps": 20,
        "cfg": 6.5,
        "seed": 7,
        "model": "x.safetensors",
        "priority": "bulk",
        "count": 3,
        "metadata": {"order": "007", "who": "Ann"},
    }
    assert found == [Row(2, expected)]


def test_a_callback_is_in_columns_of_its_own(tmp_path: Path) -> None:
    header = "prompt,callback_url,callback,callback_events"
    events = "generation.failed generation.running"
    csv_rows = f"a, https://shop.example/?a=1;b,,\nb,,shop,{events}\nc,,,\n"
    lines = [{"prompt": "d", "callback": "shop", "callback_events": ["generation.failed"]}]

    assert fields(read(tmp_path, f"{header}\n{csv_rows}")) == [
        {"prompt": "a", "callback_url": "https://shop.example/?a=1;b"},
        {"prompt": "b", "callback": "shop", "callback_events": events},
        {"prompt": "c"},
    ]
    assert fields(read(tmp_path, json.dumps(lines[0]), "jsonl")) == lines


def test_every_field_of_a_request_may_be_a_column(tmp_path: Path) -> None:
    header = ",".join(Columns(TXT2IMG).names)

    assert problems(read(tmp_path, f"{header}\n")) == [(1, None, "no_rows")]


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("steps", " 20 ", 20),
        ("steps", "20.0", 20),
        ("steps", "-3", -3),
        ("cfg", "7", 7.0),
        ("cfg", "65e-1", 6.5),
        ("cfg", ".5", 0.5),
        ("prompt", " a fox ", " a fox "),
        ("prompt", "42", "42"),
        ("model", "true", "true"),
        ("model", " sdxl.safetensors\t", "sdxl.safetensors"),
        ("sampler", " euler ", "euler"),
        ("priority", "bulk ", "bulk"),
        ("negative_prompt", " mud ", " mud "),
    ],
)
def test_a_cell_is_read_by_its_column(
    tmp_path: Path, column: str, cell: str, value: object
) -> None:
    assert fields(read(tmp_path, f"{column}\n{cell}\n")) == [{column: value}]


@pytest.mark.parametrize(
    ("column", "cell", "code"),
    [
        ("steps", CANARY, "int_parsing"),
        ("steps", "20.5", "int_parsing"),
        ("steps", "1_000", "int_parsing"),
        ("steps", "1e3", "int_parsing"),
        ("steps", "²", "int_parsing"),
        ("steps", "١", "int_parsing"),
        ("steps", "9" * 5000, "int_parsing"),
        ("seed", "true", "int_parsing"),
        ("count", "many", "int_parsing"),
        ("cfg", "6,5", "float_parsing"),
        ("cfg", "nan", "float_parsing"),
        ("cfg", "inf", "float_parsing"),
        ("cfg", "1_0", "float_parsing"),
        ("metadata", CANARY, "malformed_json"),
        ("metadata", "NaN", "finite_number"),
        ("metadata", "[1]", "dict_type"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(
    tmp_path: Path, column: str, cell: str, code: str
) -> None:
    content = io.StringIO()
    csv.writer(content).writerows([[column], [cell]])

    assert problems(read(tmp_path, content.getvalue())) == [(2, column, code)]


def test_every_mistake_of_a_file_is_found(tmp_path: Path) -> None:
    found = read(tmp_path, f"prompt,steps,cfg\nfox,x,y\nowl,20,6\nhen,{CANARY},6\n")

    assert problems(found) == [
        (2, "steps", "int_parsing"),
        (2, "cfg", "float_parsing"),
        (4, "steps", "int_parsing"),
    ]
    assert fields(found) == [{"prompt": "owl", "steps": 20, "cfg": 6.0}]


def test_labels_come_as_json_and_as_columns(tmp_path: Path) -> None:
    found = read(tmp_path, 'metadata.a,metadata\n1,"{""a"": 2, ""b"": 3}"\n')

    assert fields(found) == [{"metadata": {"a": "1", "b": 3}}]


def test_an_empty_cell_is_left_out_and_so_is_an_empty_line(tmp_path: Path) -> None:
    found = read(tmp_path, "\n\nprompt,steps,seed\nfox,,\n\n , ,\n,,,,\nowl\n")

    assert found == [Row(4, {"prompt": "fox"}), Row(8, {"prompt": "owl"})]


def test_quoted_lines_count_as_lines(tmp_path: Path) -> None:
    found = read(tmp_path, 'prompt,steps\r\n"a red\r\n""fox""",20\r\nowl,x\r\n')

    assert found[0] == Row(2, {"prompt": 'a red\r\n"fox"', "steps": 20})
    assert problems(found) == [(4, "steps", "int_parsing")]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_spreadsheets_of_every_system_are_read(tmp_path: Path, ending: str, encoding: str) -> None:
    content = ending.join(["prompt,steps", "ein Füchslein 🦊,20", ""])

    assert read(tmp_path, content.encode(encoding)) == [
        Row(2, {"prompt": "ein Füchslein 🦊", "steps": 20})
    ]


def test_an_unknown_column_is_named_once(tmp_path: Path) -> None:
    found = read(tmp_path, f"promt,prompt,metadata.\n{CANARY},fox,{CANARY}\nx,owl,y\n")

    assert problems(found) == [(1, "promt", "unknown_column"), (1, "metadata.", "unknown_column")]
    assert fields(found) == [{"prompt": "fox"}, {"prompt": "owl"}]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("prompt,stpes", "there is no such column; near matches: steps, sampler (of 37 columns)"),
        (
            "cfgg",
            "there is no such column; near matches: cfg (of 37 columns)",
        ),
        (
            "prompt,Steps",
            "there is no such column; there is steps, which differs in upper and lower case",
        ),
        ("prompt,zzzz", "there is no such column; there are 37 columns, such as prompt"),
        ("prompt;steps", "this looks like a file separated by semicolons; save it with commas"),
        (
            "prompt;cfg;metadata.a,b",
            "this looks like a file separated by semicolons; save it with commas",
        ),
        ("steps\tprompt", "this looks like a file separated by tabs; save it with commas"),
        (
            "a fox;an owl",
            "the first line must name the columns, e.g. prompt, steps, seed, count",
        ),
    ],
)
def test_a_wrong_header_says_what_to_do(tmp_path: Path, header: str, said: str) -> None:
    [found] = [
        each for each in read(tmp_path, f"{header}\na,b\n") if isinstance(each, FieldProblem)
    ]

    assert found.row == 1
    assert found.message == said
    assert found.code in HEADER_PROBLEMS


@pytest.mark.parametrize("label", ["x" * 101, ""])
def test_a_label_that_no_row_could_have_is_a_wrong_column(tmp_path: Path, label: str) -> None:
    found = read(tmp_path, f"prompt,metadata.{label}\nfox,1\n")

    assert [code for *_, code in problems(found)] == ["unknown_column"]


def test_a_header_of_many_wrong_names_is_told_in_part(tmp_path: Path) -> None:
    header = ",".join(f"column{number}" for number in range(50_000))

    found = read(tmp_path, f"prompt,{header}\nfox\n")

    assert len(problems(found)) == ROW_PROBLEMS_MAX


def test_a_comma_in_a_prompt_says_what_to_do(tmp_path: Path) -> None:
    [found] = read(tmp_path, "prompt,steps\na fox, an owl,20\n")

    assert str(found) == (
        "row 2: the row has more cells than the header; "
        "a prompt with a comma must be in double quotes"
    )


def test_a_column_is_there_once(tmp_path: Path) -> None:
    found = read(tmp_path, "prompt, steps,steps,metadata.a,metadata.a\nfox,1,2,b,c\n")

    assert problems(found) == [
        (1, "steps", "duplicate_column"),
        (1, "metadata.a", "duplicate_column"),
    ]
    assert fields(found) == [{"prompt": "fox", "steps": 1, "metadata": {"a": "b"}}]


@pytest.mark.parametrize("content", ["", "\n\n", f"{CANARY},20\nan owl,20\n", "\x00\n"])
def test_without_a_header_nothing_is_read(tmp_path: Path, content: str) -> None:
    assert [code for *_, code in problems(read(tmp_path, content))] == ["missing_header"]


def test_a_file_without_rows_says_so(tmp_path: Path) -> None:
    assert problems(read(tmp_path, "prompt\n\n")) == [(1, None, "no_rows")]
    assert problems(read(tmp_path, "", "jsonl")) == [(1, None, "no_rows")]


def test_a_cell_belongs_to_a_column(tmp_path: Path) -> None:
    found = read(tmp_path, f"prompt,,\nfox,,\nowl,,,\nhen,{CANARY}\nape,,,x\n")

    assert problems(found) == [(4, None, "too_many_cells"), (5, None, "too_many_cells")]
    assert fields(found) == [{"prompt": "fox"}, {"prompt": "owl"}]


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        (b'"zx81canary\nowl\n', "malformed_csv"),
        (b'"zx81canary" fox\nowl\n', "malformed_csv"),
        (b'"' + b"x" * 200_000 + b'"\n', "malformed_csv"),
        (b"x" * (ROW_MAX + 1), "row_too_long"),
        (b'"\n",' * (ROW_MAX // 4 + 10), "row_too_long"),
        ("ein Füchslein".encode("cp1252"), "not_utf8"),
    ],
    ids=["open quote", "text behind a quote", "long cell", "long line", "many cells", "cp1252"],
)
def test_behind_what_cannot_be_read_nothing_is(tmp_path: Path, rest: bytes, code: str) -> None:
    found = read(tmp_path, b"prompt\nfox\n" + rest)

    assert fields(found) == [{"prompt": "fox"}]
    assert problems(found) == [(3, None, code)]


def test_a_header_of_empty_cells_takes_no_memory_for_each(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"prompt" + b"," * 900_000 + b"\nfox\n")

    tracemalloc.start()
    try:
        found = list(read_manifest(path, "csv", Columns(TXT2IMG)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert fields(found) == [{"prompt": "fox"}]
    assert most < 50_000_000


def test_utf_16_is_not_guessed(tmp_path: Path) -> None:
    assert problems(read(tmp_path, "prompt\nfox\n".encode("utf-16"))) == [(1, None, "not_utf8")]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=50).filter(
    str.strip
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELLS, st.integers(-100, 100), CELLS), min_size=1, max_size=10))
def test_what_a_csv_writer_writes_is_read(tmp_path: Path, rows: list[tuple[str, int, str]]) -> None:
    content = io.StringIO(newline="")
    csv.writer(content).writerows([("prompt", "steps", "metadata.a"), *rows])

    assert fields(read(tmp_path, content.getvalue())) == [
        {"prompt": prompt, "steps": steps, "metadata": {"a": label}}
        for prompt, steps, label in rows
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300) | st.text('prompt,steps\n"\r 1{}:').map(str.encode))
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_no_file_breaks_the_reader(tmp_path: Path, kind: Kind, content: bytes) -> None:
    found = read(tmp_path, content, kind)

    assert found
    json.dumps([vars(each) for each in found], ensure_ascii=False).encode()


# --- JSON Lines ---


def test_each_line_is_a_row(tmp_path: Path) -> None:
    content = '{"prompt": "a red fox", "steps": 20}\n\n  {"count": 3, "metadata": {"a": 1}}\r\n'

    assert read(tmp_path, content, "jsonl") == [
        Row(1, {"prompt": "a red fox", "steps": 20}),
        Row(3, {"count": 3, "metadata": {"a": 1}}),
    ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f'{{"prompt": {CANARY}}}'.encode(), "malformed_json"),
        (b'{"prompt": "a", "prompt": "b"}', "malformed_json"),
        (b"[" * 100, "malformed_json"),
        (b'{"cfg": NaN}', "finite_number"),
        (b"[]", "dict_type"),
        (f'"{CANARY}"'.encode(), "dict_type"),
        (b"null", "dict_type"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(
    tmp_path: Path, line: bytes, code: str
) -> None:
    found = read(tmp_path, b'{"prompt": "fox"}\n' + line + b'\n{"prompt": "owl"}', "jsonl")

    assert problems(found) == [(2, None, code)]
    assert fields(found) == [{"prompt": "fox"}, {"prompt": "owl"}]


@pytest.mark.parametrize(
    "content",
    [
        b'{"prompt": "fox"}\n{"prompt": "\xff"}\n{"prompt": "owl"}\n',
        b'{"prompt": "fox"}\n' + '{"prompt": "Füchslein"}'.encode("cp1252") + b"\n{}",
    ],
)
def test_behind_a_line_that_is_no_utf_8_nothing_is_read(tmp_path: Path, content: bytes) -> None:
    found = read(tmp_path, content, "jsonl")

    assert fields(found) == [{"prompt": "fox"}]
    assert problems(found) == [(2, None, "not_utf8")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_lines_in_utf_16_are_not_guessed(tmp_path: Path, encoding: str) -> None:
    content = '{"prompt": "fox"}\n{"prompt": "owl"}\n'.encode(encoding)

    assert problems(read(tmp_path, content, "jsonl")) == [(1, None, "not_utf8")]


def test_lines_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    content = '{"prompt": "fox"}\n{"prompt": "owl"}\n'.encode("utf-8-sig")

    assert fields(read(tmp_path, content, "jsonl")) == [{"prompt": "fox"}, {"prompt": "owl"}]


@pytest.mark.parametrize("end", ["\x1a", "\r\n\x1a", "\n\x1a\r\n", "\n\x1a\x1a\n\n"])
def test_the_end_that_dos_writes_is_no_row(tmp_path: Path, end: str) -> None:
    lines = '{"prompt": "fox"}\n{"prompt": "owl"}'

    expected = [{"prompt": "fox"}, {"prompt": "owl"}]
    assert fields(read(tmp_path, f"prompt\nfox\nowl{end}")) == expected
    assert problems(read(tmp_path, f"prompt\nfox\nowl{end}")) == []
    assert read(tmp_path, f"{lines}{end}", "jsonl")[-1] == Row(2, {"prompt": "owl"})


def test_a_mistake_in_a_line_is_placed_in_the_line(tmp_path: Path) -> None:
    [found] = read(tmp_path, '{"a" 1}', "jsonl")

    assert found == FieldProblem.of_row(
        1, None, "malformed_json", "Expecting ':' delimiter at column 6"
    )


def test_an_endless_line_is_not_read(tmp_path: Path) -> None:
    found = read(tmp_path, b'{"prompt": "fox"}\n' + b" " * ROW_MAX + b"{}\n{}", "jsonl")

    assert fields(found) == [{"prompt": "fox"}]
    assert problems(found) == [(2, None, "row_too_long")]


# --- either ---


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_with_more_lines_than_any_batch_needs_is_not_read_on(
    tmp_path: Path, kind: Kind
) -> None:
    first = b"prompt\nfox\n" if kind == "csv" else b'\n{"prompt": "fox"}\n'
    rows = read(tmp_path, first + b"\n" * (LINES_MAX - 2) + first.splitlines()[1], kind)

    assert fields(rows) == [{"prompt": "fox"}]
    assert [one.code for one in rows if isinstance(one, FieldProblem)] == ["too_many_lines"]


def test_a_file_is_read_as_far_as_wanted(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"prompt\nfox\n" + b"\xff" * 100_000)

    assert next(read_manifest(tmp_path / "m", "csv", Columns(TXT2IMG))) == Row(2, {"prompt": "fox"})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_manifest(tmp_path / "nowhere", "csv", Columns(TXT2IMG)))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("kites.csv", "kites"),
        ("red kites.v2.csv", "red kites.v2"),
        (" .csv", None),
        ("", None),
        ("x" * 300 + ".csv", "x" * 200),
        ("\udcff.csv", "?"),
    ],
)
def test_a_batch_is_called_as_its_file(file: str, name: str | None) -> None:
    assert name_of_file(file) == name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("foxes.csv", "csv"),
        ("C:\\My Foxes\\FOXES.CSV", "csv"),
        ("/tmp/a.b/foxes.jsonl", "jsonl"),
        ("foxes.ndjson", "jsonl"),
        ("text/csv", "csv"),
        ("Text/CSV; charset=utf-8", "csv"),
        ("application/x-ndjson", "jsonl"),
        ("application/jsonl;charset=utf-8", "jsonl"),
        ("application/json", None),
        ("foxes.xlsx", None),
        ("foxes", None),
        ("", None),
    ],
)
def test_the_kind_is_guessed_from_a_name_or_a_content_type(name: str, kind: Kind | None) -> None:
    assert guess_kind(name) == kind
