"""What a stored workflow does not declare, though its graph has it."""

from __future__ import annotations

from typing import Any

from comfy.importing.proposal import left_out, without_inputs
from core.workflows.declaration import Workflow
from tests.comfy.proposal.graphs import CATALOGUE, node, proposed, txt2img


def changed(workflow: Workflow, **values: Any) -> Workflow:
    return Workflow.model_validate({**workflow.model_dump(), **values})


def test_what_was_taken_out_is_offered_as_it_was() -> None:
    whole = proposed(txt2img())
    inputs, outputs = left_out(without_inputs(whole, ["steps", "seed"]), CATALOGUE)
    assert {one.name: one.role for one in inputs} == {"seed": "seed", "steps": "steps"}
    assert {target for one in inputs for target in one.targets} == {
        *whole.by_name["steps"].targets,
        *whole.by_name["seed"].targets,
    }
    assert outputs == ()
    assert left_out(whole, CATALOGUE) == ((), ())


def test_each_of_it_can_be_added_as_it_is() -> None:
    whole = proposed(txt2img())
    steps, cfg = whole.by_name["steps"], whole.by_name["cfg"]
    renamed = steps.model_copy(update={"name": "cfg", "role": "cfg"})
    declared = changed(whole, inputs=[renamed.model_dump()])
    inputs, _ = left_out(declared, CATALOGUE)
    [found] = [one for one in inputs if one.targets == cfg.targets]
    assert (found.name, found.role) == ("cfg_2", None)
    changed(declared, inputs=[one.model_dump() for one in (renamed, *inputs)])


def test_an_input_of_several_fields_is_offered_for_the_free_ones() -> None:
    whole = proposed(txt2img(n2=node("SaveImage", images=["8", 0], filename_prefix="b")))
    prompt, width = whole.by_name["prompt"], whole.by_name["width"]
    both = prompt.model_copy(update={"targets": (*prompt.targets, *width.targets)})
    inputs, _ = left_out(changed(whole, inputs=[both.model_dump()]), CATALOGUE)
    assert not {target for one in inputs for target in one.targets} & set(both.targets)


def test_outputs_that_were_taken_out_are_offered() -> None:
    whole = proposed(txt2img(n2=node("PreviewImage", images=["8", 0])))
    first = whole.outputs[0]
    _, outputs = left_out(changed(whole, outputs=[first.model_dump()]), CATALOGUE)
    assert [one.node for one in outputs] == [one.node for one in whole.outputs[1:]]
    assert not any(one.primary for one in outputs)
