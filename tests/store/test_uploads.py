"""Uploads: the same bytes are kept once, as long as something refers to them or they are new."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Table, func, insert, select, text, update

from core.ids import new_generation_id
from core.uploads import referred_in
from core.workflows.declaration import Input
from core.workflows.plan import Plan
from store.artefacts.files import ArtefactFiles
from store.audit import Audit
from store.errors import (
    ArtefactStoreError,
    FilesGoneError,
    NotFoundError,
    StoreUnavailableError,
    UploadExpiredError,
)
from store.generations.acceptance import adopt
from store.store import Store
from store.tables import artefacts, upload_references, uploads
from store.uploads.references import are_wanted, confirm, refer
from store.uploads.uploads import Uploads
from store.uploads.values import Received, Upload
from store.values import Generation
from tests.harness.s3 import S3Server
from tests.harness.transactions import open_read, open_write
from tests.store.batch_making import accepted_batch, being_accepted, new_items
from tests.store.making import (
    NEVER,
    a_request,
    accepted,
    an_image,
    brought_to,
    running,
    wait_until,
)

LATER: Final = timedelta(days=1)


def arrived(folder: Path, data: bytes = b"a fox", **more: Any) -> Received:
    """As the API leaves a file that it has checked."""
    file = folder / f"{new_generation_id()}.tmp"
    file.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    values: dict[str, Any] = {
        "id": digest,
        "kind": "file",
        "content_type": "text/plain; charset=utf-8",
        "extension": "txt",
        "bytes": len(data),
        "sha256": digest,
        "file": file,
        "name": "fox.txt",
    }
    return Received(**{**values, **more})


async def kept(store: Store, folder: Path, data: bytes = b"a fox") -> Upload:
    return (await store.uploads.keep(arrived(folder, data)))[0]


async def expire(store: Store, *wanted: str) -> int:
    """As if nothing had used any of them for long."""
    return await store.uploads.expire(datetime.now(UTC) + LATER, wanted)


def files_in(store_folder: Path) -> list[str]:
    return sorted(path.name for path in store_folder.rglob("*") if path.is_file())


async def refer_to(store: Store, upload: Upload, subject: Any) -> None:
    request = {"prompt": "a fox", "$plan": {"files": [str(upload.reference)]}}
    async with open_write(store.database) as connection:
        await connection.run_sync(refer, [(subject, request)])


async def test_what_is_kept_is_what_came(store: Store, tmp_path: Path) -> None:
    received = arrived(tmp_path, width=8, height=9, duration_s=1.5)

    upload, is_new = await store.uploads.keep(received)

    assert is_new
    assert await store.files.read(upload.path) == b"a fox"
    assert not received.file.exists()
    assert (upload.id, upload.width, upload.height) == (received.id, 8, 9)
    assert (upload.duration_s, upload.name, upload.removed_at) == (1.5, "fox.txt", None)
    assert await store.uploads.get(upload.id) == upload
    assert upload.comfy_name == f"easel/{upload.sha256}.txt"


async def test_the_same_bytes_are_kept_once(store: Store, tmp_path: Path) -> None:
    first = await kept(store, tmp_path)
    again, is_new = await store.uploads.keep(arrived(tmp_path, name="other.txt"))

    assert not is_new
    assert (again.path, again.name) == (first.path, "fox.txt")
    assert again.last_used_at >= first.last_used_at
    assert len(files_in(tmp_path / "images")) == 1


async def test_a_file_that_vanished_is_kept_again(store: Store, tmp_path: Path) -> None:
    first = await kept(store, tmp_path)
    (tmp_path / "images" / first.path).unlink()

    again = await kept(store, tmp_path)

    assert await store.files.read(again.path) == b"a fox"
    assert len(files_in(tmp_path / "images")) == 1


async def test_who_comes_second_leaves_no_file(
    store: Store, second: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes receive the same bytes: each writes its file before either has its row."""
    put = ArtefactFiles.put_file
    others: list[Upload] = []

    async def put_after_another(self: ArtefactFiles, path: str, file: Path) -> None:
        if self is store.files:
            others.append(await kept(second, tmp_path))
        await put(self, path, file)

    monkeypatch.setattr(ArtefactFiles, "put_file", put_after_another)
    mine, _ = await store.uploads.keep(arrived(tmp_path))

    assert mine.path == others[0].path
    assert len(files_in(tmp_path / "images")) == 1


async def test_a_removed_one_is_a_tombstone(store: Store, tmp_path: Path) -> None:
    upload = await kept(store, tmp_path)

    await store.uploads.remove(upload.id)
    await store.uploads.remove(upload.id)

    with pytest.raises(UploadExpiredError):
        await store.uploads.get(upload.id)
    left = (await store.uploads.of_ids([upload.id]))[upload.id]
    assert left.removed_at is not None
    assert left.name == ""
    assert files_in(tmp_path / "images") == []


async def test_the_same_bytes_can_come_again(store: Store, tmp_path: Path) -> None:
    upload = await kept(store, tmp_path)
    await store.uploads.remove(upload.id)

    again, is_new = await store.uploads.keep(arrived(tmp_path))

    assert is_new
    assert again.id == upload.id
    assert again.path != upload.path
    assert await store.files.read(again.path) == b"a fox"
    # The rest of a removal that was interrupted: what came since stays.
    await store.files.remove_file(upload.path)
    assert await store.files.read((await store.uploads.get(upload.id)).path) == b"a fox"


async def test_an_unknown_one(store: Store) -> None:
    for call in (store.uploads.get, store.uploads.remove):
        with pytest.raises(NotFoundError):
            await call("0" * 64)
    assert await store.uploads.of_ids([]) == {}


async def test_what_is_not_stored_leaves_no_row(store: Store, tmp_path: Path) -> None:
    (tmp_path / "images").rmdir()
    (tmp_path / "images").write_text("no folder")
    received = arrived(tmp_path)

    with pytest.raises(ArtefactStoreError):
        await store.uploads.keep(received)

    left = await store.uploads.of_ids([received.id])
    assert left[received.id].removed_at is not None
    with pytest.raises(UploadExpiredError):
        await store.uploads.get(received.id)


async def test_it_expires_when_nothing_has_used_it(store: Store, tmp_path: Path) -> None:
    upload = await kept(store, tmp_path)

    assert await store.uploads.expire(datetime.now(UTC) - LATER) == 0
    assert await expire(store) == 1
    assert await expire(store) == 0

    with pytest.raises(UploadExpiredError):
        await store.uploads.get(upload.id)
    assert files_in(tmp_path / "images") == []


async def test_a_use_puts_its_expiry_off(store: Store, tmp_path: Path) -> None:
    upload = await kept(store, tmp_path)
    since = datetime.now(UTC)
    await store.uploads.touch([upload.id])

    assert await store.uploads.expire(since) == 0


async def test_one_that_is_wanted_elsewhere_stays(store: Store, tmp_path: Path) -> None:
    upload = await kept(store, tmp_path)

    assert await expire(store, upload.id) == 0
    assert await expire(store) == 1


async def test_it_stays_as_long_as_a_generation_refers_to_it(store: Store, tmp_path: Path) -> None:
    upload = await kept(store, tmp_path)
    one, other = await accepted(store), await accepted(store)
    for generation in (one, other):
        await refer_to(store, upload, generation.id)
        await refer_to(store, upload, generation.id)

    for generation in (one, other):
        assert await expire(store) == 0
        await store.transitions.delete(generation.id)

    assert await expire(store) == 1
    async with open_read(store.database) as connection:
        assert (await connection.execute(select(upload_references))).all() == []


async def test_it_stays_as_long_as_a_batch_refers_to_it(store: Store, tmp_path: Path) -> None:
    upload = await kept(store, tmp_path)
    batch = await accepted_batch(store, 1)
    await refer_to(store, upload, batch.id)
    assert await expire(store) == 0

    await store.batch_transitions.remove(batch.id)

    assert await expire(store) == 1


async def test_an_accepted_request_refers_to_its_uploads(store: Store, tmp_path: Path) -> None:
    """Whatever writes a generation or an item: the reference is there with it, of files only."""
    upload = await kept(store, tmp_path)
    plan = Plan(files=(str(upload.reference),))
    generation = await accepted(store, plan=plan)
    await accepted(store, prompt=str(upload.reference))  # a text that looks like one
    async with open_read(store.database) as connection:
        found = (await connection.execute(select(upload_references.c.subject))).scalars().all()
    assert found == [generation.id]


async def test_many_expire_page_by_page(store: Store, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            "id": f"{number:064x}",
            "kind": "file",
            "content_type": "text/plain",
            "extension": "txt",
            "bytes": 1,
            "sha256": f"{number:064x}",
            "name": "",
            "path": f"uploads/00/{number}",
            "created_at": now,
            "last_used_at": now,
        }
        for number in range(250)
    ]
    async with open_write(store.database) as connection:
        await connection.execute(insert(uploads), rows)

    assert len(await store.uploads.page("")) == 100
    assert await expire(store, rows[7]["id"]) == 249
    async with open_read(store.database) as connection:
        left = select(func.count()).where(uploads.c.removed_at.is_(None))
        assert (await connection.execute(left)).scalar_one() == 1


async def test_uploads_in_an_object_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    with S3Server() as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        async with Store(url, s3.url) as store:
            upload = await kept(store, tmp_path)
            assert await store.files.read(upload.path) == b"a fox"
            assert await expire(store) == 1
        assert s3.objects == {}
    assert [name for name in files_in(tmp_path) if name.endswith(".tmp")] == []


async def audited(store: Store, *, repair: bool = False) -> list[tuple[str, str, bool]]:
    audit = Audit(store.database, store.files)
    found = audit.findings(repair=repair, checksums=True, settle_s=-60)
    return [(one.kind, one.path, one.repaired) async for one in found]


async def test_the_audit_finds_them_in_order(store: Store, tmp_path: Path) -> None:
    await kept(store, tmp_path)
    gone = await kept(store, tmp_path, b"an owl")
    await store.uploads.remove(gone.id)

    assert await audited(store, repair=True) == []


async def test_the_audit_finds_files_that_are_missing_or_wrong(
    store: Store, tmp_path: Path
) -> None:
    missing, wrong = await kept(store, tmp_path), await kept(store, tmp_path, b"an owl")
    cut = await kept(store, tmp_path, b"a hen")
    images = tmp_path / "images"
    (images / missing.path).unlink()
    (images / wrong.path).write_bytes(b"an oxl")
    (images / cut.path).write_bytes(b"a")

    assert set(await audited(store, repair=True)) == {
        ("missing_file", missing.path, False),
        ("wrong_bytes", wrong.path, False),
        ("wrong_bytes", cut.path, False),
    }


async def test_the_audit_removes_what_a_crash_left(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when the file was there and its row was not; killed in the middle of the file."""

    async def killed(*_: object) -> bool:
        raise StoreUnavailableError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(Uploads, "_insert", killed)
        with pytest.raises(StoreUnavailableError):
            await kept(store, tmp_path)
    [orphan] = (tmp_path / "images").rglob("*.txt")
    half = orphan.with_name(f"{orphan.name}.123.tmp")
    half.write_bytes(b"half")
    foreign = orphan.with_name("0" * 64 + "-1.txt")
    foreign.write_bytes(b"of another database")

    found = await audited(store, repair=True)

    assert {(kind, repaired) for kind, _, repaired in found} == {
        ("orphan_file", True),
        ("temporary_file", True),
        ("unknown_file", False),
    }
    assert files_in(tmp_path / "images") == [foreign.name]
    assert (await kept(store, tmp_path)).removed_at is None


NESTED: Final = (
    Input(name="image", type="image"),
    Input(name="more", type="list", items=Input(name="item", type="mask")),
    Input(name="film", type="group", fields=(Input(name="clip", type="video"),)),
    Input(name="prompt", type="text"),
)


@pytest.mark.parametrize("source", ["upload", "artefact", "own"])
async def test_files_are_locked_in_the_order_of_their_ids(
    store: Store, second: Store, kind: str, tmp_path: Path, source: str
) -> None:
    """Else two that lock the same ones wait for each other. SQLite locks all of it at once."""
    if kind == "sqlite":
        pytest.skip("SQLite has no locks of rows")
    claim = await running(store, (await accepted(store)).id)
    await store.transitions.succeed(claim, [an_image(claim), an_image(claim, 1)])
    table: Table = artefacts
    if source == "upload":
        table = uploads
        for data in (b"a fox", b"an owl"):
            await kept(store, tmp_path, data)
    async with open_write(store.database) as connection:
        ids = select(table.c.id).order_by(table.c.id)
        first, last = (await connection.execute(ids)).scalars().all()
        # Written again, it stands behind the other one, and would be met after it.
        await connection.execute(update(table).where(table.c.id == first).values(bytes=1))

    async def locking() -> None:
        async with open_write(store.database) as connection:
            if source == "own":
                await connection.run_sync(are_wanted, claim.generation_id)
            else:
                files = [f"{source}:{one}" for one in (last, first)]
                await connection.run_sync(confirm, [{"$plan": {"files": files}}])

    async with open_write(second.database) as holding:
        await holding.execute(select(table.c.id).where(table.c.id == first).with_for_update())
        task = asyncio.create_task(locking())
        await wait_until(lambda: _is_waiting(second))
        last_one = select(table.c.id).where(table.c.id == last)
        free = await holding.execute(last_one.with_for_update(skip_locked=True))
        assert free.scalars().all() == [last]
    await task


async def _is_waiting(store: Store) -> bool:
    """Whether a transaction of this database waits for another one's lock."""
    statement = text(
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with open_read(store.database) as connection:
        return (await connection.execute(statement)).first() is not None


async def wrong(store: Store, **values: Any) -> list[tuple[tuple[str | int, ...], str]]:
    found = await store.uploads.problems(referred_in(NESTED, values))
    return [(one.loc, one.code) for one in found]


async def test_references_are_checked_at_their_inputs(store: Store, tmp_path: Path) -> None:
    text = str((await kept(store, tmp_path)).reference)
    picture = arrived(tmp_path, b"a picture", kind="image")
    image = str((await store.uploads.keep(picture))[0].reference)
    _, claim = await brought_to(store, "succeeded")
    made = f"artefact:{(await store.generations.artefacts(claim.generation_id))[0].id}"
    none = f"upload:{'0' * 64}"
    nothing = f"artefact:{NEVER}"

    assert await wrong(store, image=image, more=[image, made], prompt=none) == []
    assert await wrong(store, prompt="a fox") == []
    assert await wrong(
        store, image=none, more=[image, nothing, text], film={"clip": made}, prompt=none
    ) == [
        (("image",), "unknown_upload"),
        (("more", 1), "unknown_artefact"),
        (("more", 2), "wrong_kind"),
        (("film", "clip"), "wrong_kind"),
    ]
    await store.uploads.remove(image.removeprefix("upload:"))
    assert await wrong(store, image=image) == [(("image",), "upload_expired")]


async def test_a_reference_that_is_in_order_is_a_use(store: Store, tmp_path: Path) -> None:
    upload = (await store.uploads.keep(arrived(tmp_path, kind="image")))[0]
    async with open_write(store.database) as connection:
        await connection.execute(update(uploads).values(last_used_at=datetime.now(UTC) - LATER))

    assert await wrong(store, image=str(upload.reference)) == []

    assert (await store.uploads.get(upload.id)).last_used_at > datetime.now(UTC) - LATER / 2


async def test_a_request_never_gets_in_without_its_upload(store: Store, tmp_path: Path) -> None:
    upload = await kept(store, tmp_path)
    plan = Plan(files=(str(upload.reference),))

    expired, created = await asyncio.gather(
        expire(store), accepted(store, plan=plan), return_exceptions=True
    )

    if expired == 0:
        assert isinstance(created, Generation)
        assert (await store.uploads.get(upload.id)).removed_at is None
    else:
        assert isinstance(created, FilesGoneError)


async def test_an_expired_upload_is_refused_when_it_is_written(
    store: Store, tmp_path: Path
) -> None:
    """Whoever looked before: what counts is what is there when the row is."""
    upload, other = await kept(store, tmp_path), await kept(store, tmp_path, b"a cat")
    batch = await accepted_batch(store, 1)
    await store.uploads.remove(upload.id)
    plan = Plan(files=(str(upload.reference), str(other.reference)))

    with pytest.raises(FilesGoneError) as gone:
        await accepted(store, plan=plan)
    with pytest.raises(FilesGoneError):
        await adopt(store.database, new_generation_id(), a_request(plan=plan), new_generation_id())
    with pytest.raises(FilesGoneError):
        await being_accepted(store, new_items(1, plan=plan))

    assert gone.value.references == (str(upload.reference),)
    assert [one.id for one in await store.batches.active()] == [batch.id]


async def test_one_that_expires_while_the_same_bytes_come_is_kept_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(store, tmp_path)
    size = store.files.size

    async def size_then_expires(path: str) -> int | None:
        found = await size(path)
        monkeypatch.undo()
        assert await expire(store) == 1
        return found

    monkeypatch.setattr(store.files, "size", size_then_expires)
    again, new = await store.uploads.keep(arrived(tmp_path))

    assert new
    assert again.removed_at is None
    assert await store.files.read(again.path) == b"a fox"
