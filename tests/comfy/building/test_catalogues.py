"""Every graph on the recorded versions of ComfyUI: valid, or lacking what is known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
import pytest_asyncio
from PIL import Image

from comfy.families.table import FAMILIES
from comfy.graph import Graph
from comfy.nodes import NodeCatalogue
from comfy.workflows.building.fitting import fitted
from tests.comfy.building.cases import IMAGE, MASK, OPERATIONS, OTHER, cases
from tests.comfy.test_emulator import SLOW, Caller, calling

FLUX2: Final = {"EmptyFlux2LatentImage", "Flux2Scheduler", "CLIPLoader=flux2"}
ERNIE: Final = {"EmptyFlux2LatentImage", "CLIPLoader=flux2"}
KREA2: Final = {"CLIPLoader=krea2"}
ANIMA: Final = {"AnimaLLLiteApply"}
LACKS: Final[Mapping[str, Mapping[str, set[str]]]] = {
    "0.3.64": {
        "flux2-dev": FLUX2,
        "flux2-klein-4b": FLUX2,
        "flux2-klein-9b": FLUX2,
        "flux2-klein-4b-base": FLUX2,
        "flux2-klein-9b-base": FLUX2,
        "z-image": {"ZImageFunControlnet"},
        "z-image-turbo": {"ZImageFunControlnet"},
        "krea2": KREA2,
        "anima": ANIMA,
        "ernie-image": ERNIE,
        "ernie-image-turbo": ERNIE,
    },
    "0.24": {"krea2": KREA2, "anima": ANIMA},
    "0.33": {},
}
"""What each version lacks of each family: a class, or a choice (class=choice)."""
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Comfy:
    version: str
    caller: Caller
    catalogue: NodeCatalogue

    async def refusals(self, graph: Graph) -> set[str]:
        """What it says of a graph that it does not take, as in LACKS; nothing if it takes it."""
        status, answer = await self.caller.post("/prompt", {"prompt": graph.to_json()})
        if status == 200:
            assert answer["node_errors"] == {}
            return set()
        if answer["error"]["type"] == "missing_node_type":
            return {answer["error"]["extra_info"]["class_type"]}
        return {
            f"{entry['class_type']}={_choice(error)}"
            for entry in answer["node_errors"].values()
            for error in entry["errors"]
        }


def _choice(error: Mapping[str, Any]) -> str:
    assert error["type"] == "value_not_in_list", error
    return str(error["extra_info"]["received_value"])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(LACKS))
async def comfy(request: pytest.FixtureRequest) -> AsyncIterator[Comfy]:
    """A ComfyUI of each version that takes prompts and never ends one."""
    version: str = request.param
    options = replace(SLOW, any_model=True, comfyui_version=version)
    async with calling(options) as (emulator, caller):
        for name in (IMAGE, MASK, OTHER):
            Image.new("RGB", (64, 64)).save(emulator.input_dir / name)
        _, told = await caller.get("/object_info")
        yield Comfy(version, caller, NodeCatalogue.from_object_info(told))


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_it_is_valid_or_lacks_what_is_known(comfy: Comfy, operation: str) -> None:
    seen = 0
    for family, case in cases(operation):
        graph = case.graph()
        assert fitted(graph, comfy.catalogue) == graph, family  # each has what it needs already
        used = {node.class_type for node in graph.nodes.values()}
        lacking = {
            one for one in LACKS[comfy.version].get(family, set()) if one.partition("=")[0] in used
        }
        refusals = await comfy.refusals(graph)
        classes = {one for one in lacking if "=" not in one}
        # ComfyUI names the first class that it does not have, and then looks at nothing else.
        assert used - set(comfy.catalogue.classes) == classes, family
        assert refusals <= lacking, (family, refusals)
        assert bool(refusals) == bool(lacking), family
        seen += 1
    assert seen


async def test_nothing_else_is_named() -> None:
    assert {family for lacks in LACKS.values() for family in lacks} <= set(FAMILIES)
