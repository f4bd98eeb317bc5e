"""Nodes of missing packs that only hold a value: it stands where it goes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from comfy.importing import Place
from comfy.importing.ui import convert
from tests.comfy.importing.workflows import (
    CATALOGUE,
    Json,
    inputs_of,
    load,
    node,
    read,
    save,
    scale,
    socket,
    ui,
)
from tests.harness.steps import grows_linearly


def _workflow(constant: Json, kind: str = "INT") -> Json:
    links = [[1, 1, 0, 2, 0, "IMAGE"], [2, 7, 0, 2, 1, kind], [3, 2, 0, 99, 0, "IMAGE"]]
    return ui([load(), scale(1, width_link=2), constant, save(3)], links)


@pytest.mark.parametrize(
    ("kind", "values"),
    [("INTConstant", [720]), ("Seed (pack)", [720, "", None, "randomize"]), ("Int", [720])],
)
def test_a_value_of_a_missing_constant_stands_where_it_goes(kind: str, values: Any) -> None:
    imported = read(_workflow(node(7, kind, values, outputs=["INT"], title="Wide")))

    assert inputs_of(imported, "2")["width"] == 720
    assert imported.findings.is_ready
    assert ("7", "constant") in [(each.node_id, each.reason) for each in imported.dropped]
    assert "constant" in [each.code for each in imported.notices]
    (shared,) = imported.marks.shared
    assert (shared.label, shared.value, shared.targets) == ("Wide", 720, (Place("2", "width"),))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("Random Int", [720]),  # it makes something else of its value
        ("Integer Negate", [720]),
        ("Primitive Converted", [720]),
        ("INTConstant", [720, 5]),  # nobody knows which of them
        ("INTConstant", ["720"]),  # no number
        ("INTConstant", [7.5]),
        ("Unheard Of", [720]),
    ],
)
def test_other_missing_nodes_stay_and_it_is_told_what_to_do(kind: str, values: Any) -> None:
    imported = read(_workflow(node(7, kind, values, outputs=["INT"])))

    assert inputs_of(imported, "2")["width"] == ["7", 0]
    assert [each.class_type for each in imported.findings.missing_classes] == [kind]
    (notice,) = [each for each in imported.notices if each.code == "values_without_names"]
    assert kind in notice.message
    assert "import the file again" in notice.message


@pytest.mark.parametrize("kind", ["Text Multiline", "String Literal", "easy positive"])
def test_a_text_of_a_missing_constant_stands_where_it_goes(kind: str) -> None:
    encode = node(
        2,
        "Encode",
        ["old"],
        [socket("clip", "MODEL", 1), socket("text", "STRING", 2, widget=True)],
        ["CONDITIONING"],
    )
    sampler = node(
        3,
        "Sampler",
        [5, "fixed", 20, "euler", 1.0],
        [socket("model", "MODEL", 3), socket("positive", "CONDITIONING", 4)],
        ["IMAGE"],
    )
    links: list[list[Any]] = [
        [1, 1, 0, 2, 0, "MODEL"],
        [2, 7, 0, 2, 1, "STRING"],
        [3, 1, 0, 3, 0, "MODEL"],
        [4, 2, 0, 3, 1, "CONDITIONING"],
        [5, 3, 0, 99, 0, "IMAGE"],
    ]
    checkpoint = node(1, "Checkpoint", ["sd15.safetensors"], outputs=["MODEL"])
    text = node(7, kind, ["a fox"], outputs=["STRING"])

    imported = read(ui([checkpoint, encode, sampler, text, save(5)], links))

    assert inputs_of(imported, "2")["text"] == "a fox"


def test_a_constant_that_this_comfyui_knows_stays() -> None:
    imported = read(_workflow(node(7, "PrimitiveInt", [720, "fixed"], outputs=["INT"])))

    assert inputs_of(imported, "7") == {"value": 720}


def test_the_links_are_gone_through_once_for_all_constants() -> None:
    def conversion(count: int) -> Any:
        constants = [node(n, "INTConstant", [n], outputs=["INT"]) for n in range(100, 100 + count)]
        links = [[n, 100 + n % count, 0, 2, 1, "INT"] for n in range(30 * count)]
        return partial(convert, ui([load(), scale(1), *constants], links), CATALOGUE)

    assert grows_linearly(conversion, 60)


@pytest.mark.parametrize("kind", ["Boolean Invert Primitive", "Boolean Not", "Primitive boolean"])
def test_a_switch_that_turns_its_value_round_is_no_constant(kind: str) -> None:
    imported = read(_workflow(node(7, kind, [True], outputs=["BOOLEAN"]), "BOOLEAN"))

    is_constant = "constant" in [each.reason for each in imported.dropped]
    assert is_constant == (kind == "Primitive boolean")
