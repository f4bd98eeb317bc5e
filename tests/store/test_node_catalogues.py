"""Node classes in the store: written when they change, and read as they were."""

from __future__ import annotations

from comfy.nodes import NodeCatalogue, packed, unpacked
from store.store import Store

_INFO = {
    "Blend": {
        "input": {"required": {"image": ["IMAGE"], "factor": ["FLOAT", {"min": 0, "max": 1}]}},
        "output": ["IMAGE"],
        "output_node": False,
    }
}


async def test_node_classes_are_kept_by_comfyui(store: Store) -> None:
    catalogue = NodeCatalogue.from_object_info(_INFO)
    data, digest = packed(catalogue)

    assert await store.registry.keep_nodes("http://one", data, digest)
    assert not await store.registry.keep_nodes("http://one", data, digest)
    assert await store.registry.keep_nodes("http://two", *packed(NodeCatalogue()))

    assert (await store.registry.node_digests())["http://one"] == digest
    kept = await store.registry.kept_nodes("http://one")
    assert kept is not None
    assert unpacked(kept) == catalogue
    assert await store.registry.kept_nodes("http://three") is None


async def test_a_comfyui_under_another_address_is_looked_at_again(store: Store) -> None:
    await store.registry.keep_nodes("http://one", *packed(NodeCatalogue()))

    await store.registry.rename_comfy("http://one", "http://two")

    assert await store.registry.node_digests() == {}


def test_what_cannot_be_unpacked_has_no_classes() -> None:
    for data in (b"", b"canary", packed(NodeCatalogue.from_object_info(_INFO))[0][:40]):
        assert unpacked(data) == NodeCatalogue()
