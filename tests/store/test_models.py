"""Model files and settings: kept, changed, removed, each change with another digest."""

from __future__ import annotations

from dataclasses import replace

from store.models import SETTINGS, FileState, KeptFile, KeptSetting
from store.store import Store

ONE, TWO = "http://one", "http://two"
STATE = FileState(6_938_040_706, 1764331200.123456, "1.0 here")
INK = KeptFile("loras", "ink.safetensors", STATE, {"family": "sdxl", "traits": []})
FOX = KeptFile("checkpoints", "fox.safetensors", FileState(None, None, "1.0"), {"family": None})


def key(file: KeptFile) -> tuple[str, str]:
    return file.folder, file.name


async def test_files_are_kept_by_comfyui(store: Store) -> None:
    assert await store.models.digests() == {}
    await store.models.keep(ONE, [INK, FOX])
    await store.models.keep(TWO, [FOX])

    assert await store.models.states(ONE) == {key(INK): INK.state, key(FOX): FOX.state}
    assert await store.models.states(TWO) == {key(FOX): FOX.state}
    assert await store.models.files(ONE) == (FOX.data, INK.data)
    assert await store.models.files("http://three") == ()


async def test_a_file_that_changed_is_kept_anew(store: Store) -> None:
    changed = replace(INK, state=replace(STATE, size=1), data={"family": "sd15"})
    await store.models.keep(ONE, [INK, FOX])
    await store.models.keep(ONE, [changed])

    assert (await store.models.states(ONE))[key(INK)].size == 1
    assert await store.models.files(ONE) == (FOX.data, changed.data)


async def test_what_is_gone_is_removed_from_its_comfyui(store: Store) -> None:
    await store.models.keep(ONE, [INK, FOX])
    await store.models.keep(TWO, [INK])
    await store.models.keep(ONE, [], [key(INK), ("loras", "never.safetensors")])

    assert await store.models.files(ONE) == (FOX.data,)
    assert await store.models.files(TWO) == (INK.data,)


async def test_many_files_are_kept_and_removed_at_once(store: Store) -> None:
    many = [replace(INK, name=f"{number}.safetensors") for number in range(1_001)]
    await store.models.keep(ONE, many)
    assert len(await store.models.states(ONE)) == 1_001

    await store.models.keep(ONE, [], [key(one) for one in many[1:]])
    assert set(await store.models.states(ONE)) == {key(many[0])}


async def test_every_change_gives_another_digest_to_what_changed(store: Store) -> None:
    await store.models.keep(ONE, [INK])
    await store.models.keep(TWO, [])
    first = await store.models.digests()
    assert set(first) == {ONE, TWO}

    await store.models.keep(ONE, [], [key(INK)])
    second = await store.models.digests()
    assert second[ONE] != first[ONE]
    assert second[TWO] == first[TWO]

    await store.models.set(KeptSetting("loras", "ink.safetensors", "sdxl"))
    third = await store.models.digests()
    assert third == {**second, SETTINGS: third[SETTINGS]}
    await store.models.set(KeptSetting("loras", "ink.safetensors"))
    assert (await store.models.digests())[SETTINGS] != third[SETTINGS]


async def test_settings_are_replaced_and_taken_back(store: Store) -> None:
    first = KeptSetting("checkpoints", "a", "sdxl", ("clip_l.safetensors", "t5.gguf"), "ae.sft")
    other = KeptSetting("loras", "a", "flux1")
    await store.models.set(other)
    await store.models.set(first)
    assert await store.models.settings() == (first, other)

    await store.models.set(KeptSetting("checkpoints", "a", vae="other.sft"))
    assert await store.models.settings() == (
        KeptSetting("checkpoints", "a", vae="other.sft"),
        other,
    )

    await store.models.set(KeptSetting("checkpoints", "a"))
    await store.models.set(KeptSetting("checkpoints", "never"))
    assert await store.models.settings() == (other,)


async def test_a_comfyui_under_another_address_is_looked_at_again(store: Store) -> None:
    await store.models.keep(ONE, [INK])
    await store.registry.rename_comfy(ONE, TWO)

    assert await store.models.states(ONE) == {}
    assert await store.models.digests() == {}
