"""Workflows are read and parsed once for each of their versions, however many there are."""

from __future__ import annotations

from typing import Any

import pytest

import store.workflows
from core.stored import read_stored
from core.workflows.declaration import Workflow
from store.errors import NotFoundError
from store.store import Store


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the documents that were parsed."""
    names: list[str] = []

    def noting(kind: type[Workflow], document: Any) -> Workflow:
        names.append(document["name"])
        return read_stored(kind, document)

    monkeypatch.setattr(store.workflows, "read_stored", noting)
    return names


def a_workflow(number: int, title: str = "One") -> Workflow:
    graph = {"1": {"class_type": "Any", "inputs": {}}}
    return Workflow(name=f"w{number:03}", title=title, graph=graph)


async def test_two_hundred_are_parsed_once(store: Store, parsed: list[str]) -> None:
    for number in range(200):
        await store.workflows.add(a_workflow(number))

    for _ in range(2):
        assert [one.workflow.name for one in await store.workflows.all()] == [
            f"w{number:03}" for number in range(200)
        ]
    for number in range(200):
        found = (await store.workflows.get(f"w{number:03}")).workflow
        assert await store.workflows.version(found.name, found.version) is found

    assert len(parsed) == len(set(parsed)) == 200


async def test_a_new_version_is_seen_at_once_and_the_old_one_stays(
    store: Store, second: Store, parsed: list[str]
) -> None:
    old, new = a_workflow(1), a_workflow(1, "Two")
    await store.workflows.add(old)
    assert (await second.workflows.get("w001")).workflow.title == "One"

    await store.workflows.change(new, old.version)

    assert (await second.workflows.get("w001")).workflow.title == "Two"
    assert [one.workflow.title for one in await second.workflows.all()] == ["Two"]
    assert (await second.workflows.version("w001", old.version)).title == "One"
    assert parsed == ["w001"] * 2
    await store.workflows.hide("w001")
    with pytest.raises(NotFoundError):
        await second.workflows.get("w001")
    assert (await second.workflows.get("w001", hidden=True)).hidden_at is not None
    assert await second.workflows.all() == ()
