"""What the built-in workflows say of their inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from comfy.workflows.builtin.declarations import BUILT_IN
from core.workflows.declaration import Input, Workflow


def every(inputs: tuple[Input, ...]) -> Iterator[Input]:
    """The inputs, and those inside of them."""
    for one in inputs:
        yield one
        yield from every((*(one.fields or ()), *((one.items,) if one.items else ())))


def names(workflow: Workflow) -> set[str]:
    return {one.name for one in every(workflow.inputs)}


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z_0-9]+", text.lower()))


@pytest.mark.parametrize("workflow", BUILT_IN.values(), ids=BUILT_IN)
def test_what_is_said_of_an_input_names_none_that_is_not_there(workflow: Workflow) -> None:
    of_others = {one.name for other in BUILT_IN.values() for one in other.inputs} - names(workflow)
    said = {one.name: words_of(one.help or "") for one in every(workflow.inputs)}

    assert {name: found for name, words in said.items() if (found := words & of_others)} == {}
