"""Files that requests refer to are looked at in the store while they are resolved."""

from __future__ import annotations

import asyncio
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image as Pillow

from comfy import TXT2IMG
from comfy.catalogue import Catalogue
from comfy.workflows.known import Known
from comfy.workflows.layout import Box, Size
from core.requests import FlowRequest
from flows.pictures import StorePictures, UnusableFileError, resolved_with_files
from store.artefacts.files import NewPicture
from store.store import Store
from store.uploads.values import Received, Upload
from store.values import Artefact, Claim
from tests.harness.statements import statements_of


def png(picture: Pillow.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def a_mask(mode: str = "L") -> Pillow.Image:
    picture = Pillow.new(mode, (40, 20))
    picture.paste("white", (10, 5, 20, 15))
    return picture


async def sent(store: Store, folder: Path, data: bytes, kind: str = "image") -> Upload:
    """What is kept when a client sends it; a picture is normal already."""
    file = folder / f"{uuid4()}.tmp"
    await asyncio.to_thread(file.write_bytes, data)
    digest = hashlib.sha256(data).hexdigest()
    size: tuple[int | None, int | None] = (None, None)
    if kind == "image":
        with Pillow.open(io.BytesIO(data)) as picture:
            size = picture.size
    is_picture = kind == "image"
    received = Received(
        id=digest,
        kind="image" if is_picture else "file",
        content_type="image/png" if is_picture else "text/plain",
        extension="png" if is_picture else "txt",
        bytes=len(data),
        sha256=digest,
        file=file,
        name="fox.png",
        width=size[0],
        height=size[1],
    )
    return (await store.uploads.keep(received))[0]


async def made(store: Store, claim: Claim, data: bytes, position: int = 0) -> Artefact:
    """A picture that Easel made."""
    new = NewPicture(data, 40, 20, "image/png", seed=1)
    return await store.files.keep(claim.generation_id, claim.attempt, position, new)


def looking(store: Store, *, keeps: bool = True) -> StorePictures:
    return StorePictures(store, asyncio.get_running_loop(), keeps=keeps)


async def content(store: Store, reference: str) -> Pillow.Image:
    upload = await store.uploads.get(reference.removeprefix("upload:"))
    return Pillow.open(io.BytesIO(await store.files.read(upload.path)))


async def uploads_of(store: Store) -> set[str]:
    return {one.id for one in await store.uploads.page("")}


async def test_sizes(store: Store, claim: Claim, tmp_path: Path) -> None:
    upload = await sent(store, tmp_path, png(Pillow.new("RGB", (30, 50))))
    artefact = await made(store, claim, png(Pillow.new("RGB", (40, 20))))
    await store.transitions.succeed(claim, [artefact], nodes=1)
    pictures = looking(store)

    def sizes() -> list[Size | None]:
        return [pictures.size(f"upload:{upload.id}"), pictures.size(f"artefact:{artefact.id}")]

    assert await asyncio.to_thread(sizes) == [Size(30, 50), Size(40, 20)]


async def test_what_is_not_there_or_no_picture_has_no_size(store: Store, tmp_path: Path) -> None:
    text = await sent(store, tmp_path, b"hello", "file")
    gone = await sent(store, tmp_path, png(Pillow.new("RGB", (30, 50))))
    await store.uploads.remove(gone.id)
    pictures = looking(store)
    references = [
        f"upload:{gone.id}",
        f"upload:{text.id}",
        f"upload:{'0' * 64}",
        f"artefact:{uuid4()}",
        "fox.png",
    ]

    def found() -> list[object]:
        sizes = [pictures.size(one) for one in references]
        return [*sizes, *(pictures.mask(one, invert=False) for one in references)]

    assert await asyncio.to_thread(found) == [None] * 10


async def test_a_mask_becomes_an_upload(store: Store, tmp_path: Path) -> None:
    upload = await sent(store, tmp_path, png(a_mask()))
    given = str(upload.reference)

    mask = await asyncio.to_thread(looking(store).mask, given, invert=False)
    again = await asyncio.to_thread(looking(store).mask, given, invert=False)

    assert mask is not None
    assert mask == again
    assert (mask.size, mask.box) == (Size(40, 20), Box(10, 5, 10, 10))
    assert mask.reference != given
    kept = await store.uploads.get(mask.reference.removeprefix("upload:"))
    data = await store.files.read(kept.path)
    assert kept.id == kept.sha256 == hashlib.sha256(data).hexdigest()
    assert (kept.kind, kept.content_type, kept.bytes) == ("image", "image/png", len(data))
    assert (kept.width, kept.height, kept.name) == (40, 20, "fox.png")
    picture = await content(store, mask.reference)
    assert picture.mode == "RGB"
    assert (picture.getpixel((10, 5)), picture.getpixel((9, 5))) == ((255,) * 3, (0,) * 3)


async def test_one_that_a_client_sends_as_it_is_made_is_the_same_upload(
    store: Store, tmp_path: Path
) -> None:
    upload = await sent(store, tmp_path, png(a_mask()))
    mask = await asyncio.to_thread(looking(store).mask, str(upload.reference), invert=False)
    assert mask is not None
    kept = await store.uploads.get(mask.reference.removeprefix("upload:"))
    before = await uploads_of(store)

    same = await sent(store, tmp_path, await store.files.read(kept.path))
    found = await asyncio.to_thread(looking(store).mask, str(same.reference), invert=False)

    assert found == mask
    assert await uploads_of(store) == before


async def test_a_mask_that_is_as_it_should_be_is_not_written_again(
    store: Store, tmp_path: Path
) -> None:
    upload = await sent(store, tmp_path, png(a_mask("RGB")))

    mask = await asyncio.to_thread(looking(store).mask, str(upload.reference), invert=False)

    assert mask is not None
    assert mask.reference == str(upload.reference)
    assert await uploads_of(store) == {upload.id}


async def test_a_dry_run_writes_nothing(store: Store, tmp_path: Path) -> None:
    upload = await sent(store, tmp_path, png(a_mask()))

    mask = await asyncio.to_thread(
        looking(store, keeps=False).mask, str(upload.reference), invert=True
    )

    assert mask is not None
    assert (mask.reference, mask.box) == (str(upload.reference), Box(0, 0, 40, 20))
    assert await uploads_of(store) == {upload.id}


async def test_what_easel_made_is_a_mask_too(store: Store, claim: Claim) -> None:
    artefact = await made(store, claim, png(a_mask("RGBA")))
    await store.transitions.succeed(claim, [artefact], nodes=1)

    mask = await asyncio.to_thread(looking(store).mask, f"artefact:{artefact.id}", invert=False)

    assert mask is not None
    assert mask.reference.startswith("upload:")
    assert (await content(store, mask.reference)).getpixel((0, 0)) == (255,) * 3


async def test_the_same_mask_of_many_rows_is_read_once(store: Store, tmp_path: Path) -> None:
    upload = await sent(store, tmp_path, png(a_mask()))
    pictures = looking(store)

    def many() -> int:
        return len({pictures.mask(str(upload.reference), invert=False) for _ in range(100)})

    with statements_of(store.database) as seen:
        assert await asyncio.to_thread(many) == 1

    assert len(seen) < 20


async def test_one_whose_file_is_gone(store: Store, tmp_path: Path) -> None:
    upload = await sent(store, tmp_path, png(a_mask()))
    await store.files.remove_file(upload.path)

    with pytest.raises(UnusableFileError, match="no more") as error:
        await asyncio.to_thread(looking(store).mask, str(upload.reference), invert=False)

    assert (error.value.code, error.value.reference) == ("file_gone", str(upload.reference))


async def test_it_does_not_wait_for_itself(store: Store) -> None:
    with pytest.raises(RuntimeError, match="in a thread"):
        looking(store).size(f"upload:{'0' * 64}")


async def test_many_requests_with_masks_at_once(store: Store, tmp_path: Path) -> None:
    """Each waits for the loop, which needs threads of its own to write the masks."""
    image = await sent(store, tmp_path, png(Pillow.new("RGB", (40, 20), "red")))
    grey = [a_mask().point(lambda value, most=most: min(value, most)) for most in range(100, 140)]
    masks = [await sent(store, tmp_path, png(one)) for one in grey]
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    known = Known(Catalogue(checkpoints=("sd15.safetensors",)))

    async def resolved(mask: Upload) -> object:
        inputs = {
            "prompt": "a fox",
            "init_image": str(image.reference),
            "mask": str(mask.reference),
        }
        asked = FlowRequest(workflow=TXT2IMG.name, inputs=inputs)
        return (await resolved_with_files(store, asked, TXT2IMG, known)).inputs["mask"]

    async with asyncio.timeout(60):
        made = await asyncio.gather(*map(resolved, masks))

    assert len(set(made)) == len(masks)
