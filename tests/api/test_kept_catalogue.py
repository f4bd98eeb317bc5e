"""The catalogue that the store keeps is taken over, unless it cannot be read."""

from __future__ import annotations

from pathlib import Path

from api.catalogue import CatalogueCache
from comfy.address import Address
from comfy.catalogue import Catalogue
from store.store import Store
from tests.harness.databases import a_store

NOBODY = "http://127.0.0.1:9"
KNOWN = Catalogue(checkpoints=("a.safetensors",), samplers=("euler",), schedulers=("normal",))
NEWER = Catalogue(checkpoints=("b.safetensors",), samplers=("euler",), schedulers=("normal",))


async def test_one_that_another_version_wrote_takes_nothing_away(tmp_path: Path) -> None:
    async with Store(a_store(tmp_path / "easel.db"), str(tmp_path / "images")) as store:
        await store.registry.keep_catalogue(NOBODY, KNOWN.to_json())
        async with CatalogueCache(store, Address(NOBODY)) as cache:
            assert cache.current == KNOWN

            await store.registry.keep_catalogue(NOBODY, {"checkpoints_of_2030": ["c"]})
            await cache._take_over()
            assert cache.current == KNOWN

            await store.registry.keep_catalogue(NOBODY, NEWER.to_json())
            await cache._take_over()
            assert cache.current == NEWER
