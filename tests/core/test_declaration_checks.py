"""What a declaration must fulfil beyond its form, before it is stored."""

from __future__ import annotations

from typing import Any, Final

import pytest

from core.workflows.checks import declaration_problems, new_problems
from core.workflows.declaration import Workflow

GRAPH: Final = {"1": {"class_type": "Sampler", "inputs": {"steps": 20, "text": "a fox"}}}


def has_field(node_class: str, field: str) -> bool | None:
    return field == "optional" if node_class == "Sampler" else None


def problems_of(*inputs: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    told = {"name": "own", "title": "Own", "graph": GRAPH, "inputs": list(inputs), **more}
    workflow = Workflow.model_validate(told)

    found = declaration_problems(workflow, has_field)
    return [(".".join(map(str, one.loc)), one.code) for one in found]


def an_input(kind: str = "integer", field: str = "steps", **more: Any) -> dict[str, Any]:
    targets = [{"node": "1", "field": field}]
    return {"name": "one", "type": kind, "targets": targets, **more}


def test_a_place_is_one_of_the_graph_or_of_its_class() -> None:
    assert problems_of(an_input()) == []
    assert problems_of(an_input(field="optional")) == []
    assert problems_of(an_input(field="sleps")) == [("inputs.one.targets.0.field", "unknown_field")]


def test_what_is_known_of_no_class_is_not_wrong() -> None:
    told = {"name": "own", "title": "Own", "graph": GRAPH, "inputs": [an_input(field="sleps")]}
    workflow = Workflow.model_validate(told)

    assert declaration_problems(workflow) == []
    assert declaration_problems(workflow, lambda *_: None) == []
    assert len(declaration_problems(workflow, lambda *_: False)) == 1


def test_what_was_wrong_before_is_no_new_problem() -> None:
    def workflow(*inputs: dict[str, Any]) -> Workflow:
        told = {"name": "own", "title": "Own", "graph": GRAPH, "inputs": list(inputs)}
        return Workflow.model_validate(told)

    def new(after: Workflow) -> list[tuple[str | int, ...]]:
        found = declaration_problems(after, has_field)
        return [one.loc for one in new_problems(found, after, before, has_field)]

    other = {"name": "other", "type": "integer", "targets": [{"node": "1", "field": "gone"}]}
    before = workflow(an_input(field="sleps", maximum=9, default=10))

    assert new(workflow(an_input(field="sleps", maximum=9, default=10, label="One"))) == []
    assert new(workflow(an_input(field="sleps", maximum=9, default=10), other)) == [
        ("inputs", "other", "targets", 0, "field")
    ]
    assert ("inputs", "one", "default") in new(
        workflow(an_input(field="sleps", maximum=9, default=11))
    )


@pytest.mark.parametrize("kind", ["list", "group"])
def test_a_place_of_a_list_or_group_itself_is_one_of_the_graph(kind: str) -> None:
    inside = {"name": "x", "type": "text"}
    more = {"items": inside} if kind == "list" else {"fields": [inside]}
    one = {"name": "many", "type": kind, "targets": [{"node": "9", "field": "x"}], **more}

    assert problems_of(one) == [("inputs.many.targets.0.node", "unknown_node")]


def test_a_place_inside_of_a_list_is_one_of_the_graph() -> None:
    inner = {"name": "x", "type": "text", "targets": [{"node": "1", "field": "gone"}]}

    assert problems_of({"name": "many", "type": "list", "items": inner}) == [
        ("inputs.many.x.targets.0.field", "unknown_field")
    ]


@pytest.mark.parametrize(
    ("kind", "role", "is_wrong"),
    [
        ("integer", "steps", False),
        ("text", "steps", True),
        ("boolean", "seed", True),
        ("image", "prompt", True),
        ("longtext", "prompt", False),
        ("text", "model", False),
    ],
)
def test_a_role_is_one_that_its_type_can_have(kind: str, role: str, is_wrong: bool) -> None:
    found = problems_of(an_input(kind, role=role))

    assert found == ([("inputs.one.role", "wrong_role")] if is_wrong else [])


def test_a_list_or_group_has_no_role_itself() -> None:
    inside = {"name": "x", "type": "text", "role": "lora"}
    many = {"name": "many", "type": "list", "role": "lora", "items": inside}
    group = {"name": "all", "type": "group", "role": "prompt", "fields": [inside]}

    assert problems_of(many, group) == [
        ("inputs.many.role", "wrong_role"),
        ("inputs.all.role", "wrong_role"),
    ]


def test_two_inputs_have_not_one_role_wherever_they_are() -> None:
    inside = {"name": "x", "type": "text", "role": "prompt"}
    group = {"name": "all", "type": "group", "fields": [inside]}

    assert problems_of(an_input("text", "text", role="prompt"), group) == [
        ("inputs.all.x.role", "duplicate_role")
    ]


@pytest.mark.parametrize(
    ("used", "code"),
    [
        ("folder/b.safetensors", None),
        ("../b.safetensors", "unsafe_path"),
        ("a\\..\\b", "unsafe_path"),
        ("/etc/passwd", "unsafe_path"),
        ("", "file_name"),
        ("a\nb", "file_name"),
    ],
)
def test_a_model_is_mapped_to_a_file_of_comfyui(used: str, code: str | None) -> None:
    found = problems_of(mapping={"a.safetensors": used})

    assert found == ([] if code is None else [("mapping.a.safetensors", code)])
