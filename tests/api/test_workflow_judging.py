"""Imported workflows are judged beside the event loop: a graph of thousands takes seconds."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from api.nodes import NodesCache
from api.workflows.documents import WorkflowChange
from api.workflows.facade import WorkflowFacade, etag_of
from comfy.address import Address
from comfy.importing.checking import check_graph
from comfy.workflows import Judge, readiness
from core.workflows.declaration import Target, Workflow
from store.store import Store
from tests.comfy.proposal.graphs import CATALOGUE, proposed, txt2img
from tests.harness.databases import a_store

NOBODY = Address.of("http://127.0.0.1:9", None)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(a_store(tmp_path / "easel.db"), str(tmp_path / "images")) as store:
        yield store


@pytest.fixture
async def facade(store: Store) -> AsyncIterator[WorkflowFacade]:
    nodes = NodesCache(store, NOBODY, paid_nodes=False)
    nodes.judge = Judge(CATALOGUE, paid_nodes=False)
    yield WorkflowFacade(
        store, "http://easel.test", lambda: None, nodes, store.registry.workers, paid_nodes=False
    )
    await nodes.client.aclose()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads in which a graph was looked at."""
    found: list[int] = []

    def noting(*args: Any) -> Any:
        found.append(threading.get_ident())
        return check_graph(*args)

    monkeypatch.setattr(readiness, "check_graph", noting)
    return found


async def test_documents_are_made_in_a_thread_and_judged_once(
    store: Store, facade: WorkflowFacade, threads: list[int]
) -> None:
    await store.workflows.add(proposed(txt2img()))

    [*_, listed] = (await facade.all()).items
    again = await facade.get(listed.name)

    assert (listed.state, again.state) == ("ready", "ready")
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


async def test_what_is_missing_is_found_in_a_thread(
    store: Store, facade: WorkflowFacade, threads: list[int]
) -> None:
    workflow = proposed(txt2img())
    await store.workflows.add(workflow)

    await facade.missing(workflow.name)

    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_a_look_that_takes_long_keeps_no_other_workflow_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = proposed(txt2img())
    other = slow.model_copy(update={"name": "other"})
    begun, released = threading.Event(), threading.Event()
    looked: list[str] = []

    def looking(workflow: Workflow, *args: Any, **kwargs: Any) -> readiness.Readiness:
        looked.append(workflow.name)
        if workflow is slow:
            begun.set()
            assert released.wait(60)
        return readiness.Readiness()

    monkeypatch.setattr(readiness, "readiness", looking)
    judge = Judge(CATALOGUE, paid_nodes=False)
    with ThreadPoolExecutor(3) as pool:
        try:
            first = pool.submit(judge.readiness, slow)
            assert begun.wait(60)
            same = pool.submit(judge.readiness, slow)
            assert pool.submit(judge.readiness, other).result(60).state == "ready"
            assert not first.done()
        finally:
            released.set()
        assert same.result(60) is first.result(60)
    assert looked == [slow.name, "other"]


@pytest.mark.parametrize("known", [True, False])
async def test_a_change_is_not_refused_for_what_it_does_not_touch(
    store: Store, facade: WorkflowFacade, known: bool
) -> None:
    """The pack of a node has another version meanwhile, or no ComfyUI was reached yet."""
    workflow = proposed(txt2img())
    [one, *_] = [each for each in workflow.inputs if each.targets]
    gone = one.model_copy(update={"targets": (Target(node=one.targets[0].node, field="gone"),)})
    inputs = tuple(gone if each is one else each for each in workflow.inputs)
    workflow = workflow.model_copy(update={"inputs": inputs})
    await store.workflows.add(workflow)
    if not known:
        facade._nodes.judge = None
    told = [each.model_dump(mode="json") for each in inputs]

    wanted = WorkflowChange.model_validate({"title": "Foxes", "inputs": told})
    etag = etag_of((await store.workflows.get(workflow.name)).workflow.version)
    changed = await facade.change(workflow.name, wanted, etag)

    assert changed.title == "Foxes"
