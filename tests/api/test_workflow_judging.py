"""Imported workflows are judged beside the event loop: a graph of thousands takes seconds."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.nodes import NodesCache
from api.workflows.facade import WorkflowFacade
from comfy.address import Address
from comfy.importing.checking import check_graph
from comfy.workflows import Judge, readiness
from store.store import Store
from tests.comfy.proposal.graphs import CATALOGUE, proposed, txt2img
from tests.harness.databases import a_store

NOBODY = Address.of("http://127.0.0.1:9", None)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(a_store(tmp_path / "easel.db"), str(tmp_path / "images")) as store:
        yield store


async def test_documents_are_made_in_a_thread_and_judged_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def noting(*args: Any) -> Any:
        threads.append(threading.get_ident())
        return check_graph(*args)

    monkeypatch.setattr(readiness, "check_graph", noting)
    await store.workflows.add(proposed(txt2img()))
    nodes = NodesCache(store, NOBODY, paid_nodes=False)
    nodes.judge = Judge(CATALOGUE, paid_nodes=False)
    facade = WorkflowFacade(
        store, "http://easel.test", lambda: None, nodes, store.registry.workers, paid_nodes=False
    )

    [_, listed] = (await facade.all()).items
    again = await facade.get(listed.name)
    await nodes.client.aclose()

    assert (listed.state, again.state) == ("ready", "ready")
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
