"""Workflows by name: of new requests, and of those that were accepted, by whichever version."""

from __future__ import annotations

from typing import Any, Final

import pytest

from comfy import BUILT_IN, resolve
from comfy.workflows.known import Known
from core.requests import GenerationRequest, ResolvedRequest, read_request, read_request_of
from core.workflows.declaration import Workflow
from flows.workflows import offered_workflows, workflow_named, workflow_names, workflow_of
from store.errors import UnreadableRequestError
from store.store import Store
from tests.comfy.data import TWIN

OWN: Final = Workflow.model_validate({**TWIN.model_dump(mode="json"), "name": "upscale"})
IMAGE: Final = f"upload:{'a' * 64}"
FIRST: Final[dict[str, Any]] = {
    "prompt": "a fox",
    "negative_prompt": "",
    "model": "sd15.safetensors",
    "width": 512,
    "height": 512,
    "steps": 20,
    "cfg": 7.0,
    "sampler": "euler",
    "scheduler": "normal",
    "seed": 1,
    "batch_size": 1,
    "priority": "interactive",
    "timeout_s": 600,
    "metadata": {},
    "callback_url": None,
}
"""A request as the first versions stored it: its workflow had these inputs and no others."""


def accepted(workflow: Workflow, **inputs: Any) -> ResolvedRequest:
    fields = {"workflow": workflow.name, **inputs}
    asked = read_request_of(GenerationRequest, fields, workflow)
    stored = resolve(asked, workflow, Known()).stored()
    read = read_request(stored)
    assert isinstance(read, ResolvedRequest)
    return read


@pytest.mark.parametrize("name", list(BUILT_IN))
async def test_the_built_in_ones_are_named(store: Store, name: str) -> None:
    assert await workflow_named(store, name) is BUILT_IN[name]
    assert await workflow_named(store, name, hidden=True) is BUILT_IN[name]


async def test_a_users_own_goes_first_while_it_is_there(store: Store) -> None:
    await store.workflows.add(OWN)

    assert await workflow_named(store, "upscale") == OWN
    assert (await workflow_names(store)).count("upscale") == 1
    assert [one for one in await offered_workflows(store) if one.name == "upscale"] == [OWN]

    await store.workflows.hide("upscale")
    for hidden in (False, True):
        assert await workflow_named(store, "upscale", hidden=hidden) is BUILT_IN["upscale"]


async def test_one_that_was_removed_is_there_for_what_was_set_up_before(store: Store) -> None:
    await store.workflows.add(TWIN)
    await store.workflows.hide(TWIN.name)

    assert await workflow_named(store, TWIN.name) is None
    assert await workflow_named(store, TWIN.name, hidden=True) == TWIN


async def test_a_generation_keeps_the_workflow_that_it_was_accepted_with(store: Store) -> None:
    own = accepted(OWN, image=IMAGE)
    easels = accepted(BUILT_IN["upscale"], init_image=IMAGE, model="4x.pth")
    await store.workflows.add(OWN)
    for hide in (False, True):
        if hide:
            await store.workflows.hide("upscale")
        assert await workflow_of(store, own) == OWN
        assert await workflow_of(store, easels) is BUILT_IN["upscale"]


async def test_a_request_of_the_first_versions_needs_no_newer_input(store: Store) -> None:
    request = read_request(FIRST)
    assert isinstance(request, ResolvedRequest)
    assert await workflow_of(store, request) is BUILT_IN["txt2img"]


@pytest.mark.parametrize("missing", ["prompt", "model", "steps", "seed", "width"])
async def test_one_without_what_every_version_had_is_unreadable(store: Store, missing: str) -> None:
    request = read_request({name: value for name, value in FIRST.items() if name != missing})
    assert isinstance(request, ResolvedRequest)
    with pytest.raises(UnreadableRequestError, match=f"{missing}: "):
        await workflow_of(store, request)


async def test_a_version_that_is_not_there_is_unreadable(store: Store) -> None:
    with pytest.raises(UnreadableRequestError, match="workflow"):
        await workflow_of(store, accepted(TWIN, image=IMAGE))
