"""What is resolved goes through a ComfyUI's own validation, or is refused before it gets there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import pytest
import pytest_asyncio
from PIL import Image

from comfy import UnresolvableError
from comfy.families.models import ModelFile
from comfy.families.table import FAMILIES
from comfy.nodes import NodeCatalogue
from comfy.versions import is_before
from comfy.workflows import Judge, build_graph
from comfy.workflows.known import Known
from core.requests import ResolvedRequest
from tests.comfy.building.test_catalogues import LACKS, Comfy
from tests.comfy.builtin.asking import (
    IMAGE,
    KNOWN,
    MASK,
    NORMALISED,
    OTHER,
    PROMPT_ID,
    known,
    model,
    problems,
    resolved,
)
from tests.comfy.builtin.operations import OPERATIONS, asked_of
from tests.comfy.test_emulator import SLOW, calling

CONTROLS: Final = {"ZImageFunControlnet", "AnimaLLLiteApply"}
"""What is for controls alone, which are not asked for here."""
FILES: Final = {IMAGE: "a.png", MASK: "b.png", OTHER: "c.png", NORMALISED: "d.png"}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def running(version: str) -> AsyncIterator[Comfy]:
    """A ComfyUI that takes prompts and never ends one."""
    options = replace(SLOW, any_model=True, comfyui_version=version)
    async with calling(options) as (emulator, caller):
        for name in FILES.values():
            Image.new("RGB", (64, 64)).save(emulator.input_dir / name)
        _, told = await caller.get("/object_info")
        yield Comfy(version, caller, NodeCatalogue.from_object_info(told))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comfy() -> AsyncIterator[Comfy]:
    """One of the newest recorded version."""
    async with running("0.33") as newest:
        yield newest


def judged(comfy: Comfy, known: Known = KNOWN) -> Known:
    assert known.catalogue is not None
    catalogue = replace(known.catalogue, version=comfy.version)
    judge = Judge(comfy.catalogue, paid_nodes=True)
    return replace(known, catalogue=catalogue, judge=judge)


async def refusal(comfy: Comfy, request: ResolvedRequest) -> Any:
    """What ComfyUI says against it, None for nothing. The files have the names that it knows."""
    graph = json.dumps(build_graph(request, PROMPT_ID, nodes=comfy.catalogue).to_json())
    for reference, name in FILES.items():
        graph = graph.replace(reference, name)
    status, answer = await comfy.caller.post("/prompt", {"prompt": json.loads(graph)})
    return None if status == 200 and not answer["node_errors"] else answer


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "controls"])
async def test_comfyui_takes_what_was_resolved(comfy: Comfy, operation: str) -> None:
    seen = 0
    for family, workflow, inputs in asked_of(operation):
        request = resolved(workflow, known=judged(comfy), **inputs)

        assert await refusal(comfy, request) is None, family
        seen += 1
    assert seen


@pytest.mark.parametrize("version", ["0.3.64", "0.24"])
async def test_an_older_one_takes_it_or_is_told_to_be_too_old(version: str) -> None:
    async with running(version) as old:
        told: dict[str, set[str]] = {}
        for operation in ("text", "mask", "edit"):
            for family, workflow, inputs in asked_of(operation):
                try:
                    request = resolved(workflow, known=judged(old), **inputs)
                except UnresolvableError as error:
                    told.setdefault(family, set()).update(one.code for one in error.problems)
                else:
                    assert await refusal(old, request) is None, family
    expected = {name for name, one in FAMILIES.items() if is_before(version, one.oldest)}
    assert told == {name: {"comfyui_too_old"} for name in expected}
    lacking = {name for name, lacks in LACKS[version].items() if not lacks <= CONTROLS}
    assert expected >= lacking


async def test_controls(comfy: Comfy) -> None:
    """The preprocessors of the pack are not among what was recorded."""
    for family, workflow, inputs in asked_of("controls"):
        first, second = inputs["controls"]

        told = problems(workflow, known=judged(comfy), **inputs)
        request = resolved(workflow, known=judged(comfy), **{**inputs, "controls": [first, first]})

        assert second["preprocess"] == "depth"
        code, message = told[("workflow",)]
        assert code == "missing_nodes"
        assert "DepthAnythingV2Preprocessor" in message
        assert "comfyui_controlnet_aux" in message
        assert await refusal(comfy, request) is None, family


async def test_a_gguf_needs_its_pack(comfy: Comfy) -> None:
    file = ModelFile("diffusion_models", "flux1-dev-Q4.gguf", "flux1-dev", "header")

    code, message = problems(known=judged(comfy, known(file)), model=file.name)[("workflow",)]

    assert code == "missing_nodes"
    assert "ComfyUI-GGUF" in message


async def test_a_class_of_comfyui_s_own_is_brought_by_an_update(comfy: Comfy) -> None:
    lacks = {name: it for name, it in comfy.catalogue.classes.items() if name != "CFGNorm"}
    old = replace(KNOWN, judge=Judge(NodeCatalogue(lacks), paid_nodes=True))

    code, message = problems(
        "edit", known=old, reference_images=[OTHER], model=model("qwen-image-edit")
    )[("workflow",)]

    assert (code, message) == ("missing_nodes", "ComfyUI lacks CFGNorm: update ComfyUI")


async def test_every_family_was_asked_for() -> None:
    asked = {family for operation in OPERATIONS for family, _, _ in asked_of(operation)}

    assert asked == set(FAMILIES)
