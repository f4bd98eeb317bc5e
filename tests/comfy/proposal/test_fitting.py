"""Defaults of proposals are such that a request could say them."""

from __future__ import annotations

from comfy.importing.proposal.fitting import fitted
from core.requests import checked_inputs
from core.workflows.checks import declaration_problems
from core.workflows.declaration import ChoicesFrom, Input, Target, Workflow

_TARGET = (Target(node="1", field="text"),)


def _of(*inputs: Input) -> Workflow:
    graph = {"1": {"class_type": "Any", "inputs": {"text": "of the graph"}}}
    return Workflow(name="any", title="Any", inputs=inputs, graph=graph)


def test_a_long_text_may_be_as_long_as_it_is() -> None:
    told = _of(Input(name="system", type="longtext", default="a" * 14_000, targets=_TARGET))
    assert declaration_problems(told)

    workflow, without = fitted(told)

    assert without == ()
    assert workflow.by_name["system"].default == "a" * 14_000
    assert declaration_problems(workflow) == []


def test_a_default_that_cannot_be_is_left_to_the_graph() -> None:
    told = _of(
        Input(name="model", type="choice", choices=("a", "b"), default="c", targets=_TARGET),
        Input(name="style", type="choice", choices=("a", "b"), default="b"),
    )

    workflow, without = fitted(told)

    assert without == ("model",)
    assert workflow.by_name["model"].default is None
    assert workflow.by_name["style"].default == "b"
    assert declaration_problems(workflow) == []


def test_choices_of_a_comfyui_may_be_numbers() -> None:
    seconds = ChoicesFrom(node_class="Any", field="seconds")
    workflow, without = fitted(
        _of(Input(name="seconds", type="choice", choices_from=seconds, default=5))
    )

    assert without == ()
    assert checked_inputs(workflow, {"seconds": 8}) == {"seconds": 8}
    assert checked_inputs(workflow, {"seconds": "8"}) == {"seconds": "8"}


def test_a_file_of_comfyui_may_be_the_default_and_no_other_may_be_asked_for() -> None:
    workflow, _ = fitted(_of(Input(name="image", type="image", default="pasted/example.png")))

    assert declaration_problems(workflow) == []
    assert checked_inputs(workflow, {"image": "pasted/example.png"})
    for wrong in ("../example.png", "/etc/passwd", "a\nb", ""):
        told = _of(Input(name="image", type="image", default=wrong))
        assert declaration_problems(told), wrong


def test_a_role_that_its_type_cannot_have_is_left_out() -> None:
    told = _of(Input(name="many", type="boolean", role="steps", targets=_TARGET))

    workflow, without = fitted(told)

    assert ([one.role for one in workflow.inputs], without) == ([None], ())
    assert declaration_problems(workflow) == []
