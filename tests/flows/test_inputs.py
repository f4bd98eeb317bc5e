"""Files that a request refers to: put into ComfyUI right before the POST, and again when it lost
them.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from PIL import Image as Pillow

import comfy
from comfy import ComfySession, InputFile, InputRefusedError, TransientComfyError
from comfy.emulator import Emulator
from comfy.errors import ExecutionFailedError
from comfy.workflows.known import Known
from core.batches.columns import Columns
from core.batches.lists import Lists
from core.batches.manifest import read_manifest
from core.batches.request import BatchRequest
from core.requests import FlowRequest, ResolvedRequest, read_request_of
from core.workflows.declaration import Workflow
from flows import pipeline, submitting
from flows.adoption import adopt
from flows.batches.acceptance import Source, accept_batch, plan_batch
from flows.errors import BatchRefusedError, InputGoneError
from flows.inputs import find_inputs
from flows.pipeline import Assignment
from flows.runtime import Runtime
from store.artefacts.files import NewPicture
from store.errors import FilesGoneError
from store.store import Store
from store.uploads.values import Received, Upload
from store.values import Artefact, Claim
from tests.comfy.data import TWIN, resolved
from tests.contract.driving import wait_until

RED: Final = (250, 10, 20)
SAID: Final = Workflow.model_validate_json(
    """{"name": "said", "title": "Said", "inputs": [
        {"name": "prompt", "type": "longtext", "required": true,
         "targets": [{"node": "1", "field": "text"}]}],
    "outputs": [{"node": "1", "kind": "text", "name": "said", "primary": true}],
    "graph": {"1": {"class_type": "SaveText",
                    "inputs": {"text": "", "filename_prefix": "x", "format": "txt"}}}}"""
)
"""It says and saves the text that it is given."""


@pytest.fixture
async def upload(store: Store, tmp_path: Path) -> Upload:
    return await kept(store, tmp_path)


async def kept(store: Store, folder: Path, picture: Pillow.Image | None = None) -> Upload:
    file = folder / f"{uuid4()}.tmp"
    buffer = io.BytesIO()
    picture = picture or Pillow.new("RGB", (64, 64), RED)
    picture.save(buffer, "PNG")
    file.write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    size = len(buffer.getvalue())
    received = Received(digest, "image", "image/png", "png", size, digest, file, "", *picture.size)
    return (await store.uploads.keep(received))[0]


@pytest.fixture
async def twins(store: Store) -> Workflow:
    await store.workflows.add(TWIN)
    return TWIN


async def claimed(runtime: Runtime, image: object) -> Claim:
    """The attempt of a new generation of ``TWIN``."""
    return await claimed_of(runtime, {"workflow": TWIN.name, "image": str(image)}, TWIN)


async def claimed_of(runtime: Runtime, fields: dict[str, Any], workflow: Workflow) -> Claim:
    asked = read_request_of(FlowRequest, fields, workflow)
    accepted = await runtime.store.acceptance.accept(comfy.resolve(asked, workflow, Known()))
    assignment = Assignment(accepted.generation.id, uuid4(), attempt=1)
    return await pipeline.claim(runtime.store, assignment, runtime.holder)


async def rendered(runtime: Runtime, claim: Claim) -> tuple[Artefact, ...]:
    store, session = runtime.store, runtime.session
    graph = await pipeline.build(store, claim)
    outputs = await pipeline.render(
        session,
        claim,
        partial(submitted_at_last, runtime, claim),
        partial(pipeline.track, store, session, claim, graph),
        has_lost_an_input=partial(submitting.has_lost_an_input, store, session, graph),
    )
    return await pipeline.save(store, session, claim, outputs)


async def submitted_at_last(runtime: Runtime, claim: Claim) -> None:
    """As the flow's task does: tried again while ComfyUI does not answer."""

    async def is_submitted() -> bool:
        with suppress(TransientComfyError):
            await submitted(runtime, claim)
            return True
        return False

    await wait_until(is_submitted)


async def submitted(runtime: Runtime, claim: Claim) -> str:
    graph = await pipeline.build(runtime.store, claim)
    return (await submitting.submit(runtime.store, runtime.session, claim, graph)).how


async def colour(store: Store, image: Artefact) -> Any:
    with Pillow.open(io.BytesIO(await store.files.read(image.path))) as picture:
        return picture.convert("RGB").getpixel((9, 9))


def input_folder(emulator: Emulator) -> Path:
    output = emulator.output_dir
    return output.with_name(f"{output.name}-input")


def empty(emulator: Emulator) -> None:
    shutil.rmtree(input_folder(emulator) / "easel", ignore_errors=True)


class Noting(ComfySession):
    """Notes what is put; ``after_put`` is called right after the first one."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.put: list[str] = []
        self.after_put = lambda: None

    async def put_input(self, file: InputFile, data: AsyncIterator[bytes]) -> None:
        await super().put_input(file, data)
        self.put.append(file.name)
        if len(self.put) == 1:
            await asyncio.to_thread(self.after_put)


@pytest.fixture
async def session(runtime: Runtime, emulator: Emulator) -> AsyncIterator[Noting]:
    async with Noting(emulator.url, timeout_s=10, settle_s=0.1) as session:
        runtime.session = session
        yield session


async def test_an_upload_comes_into_the_picture(
    runtime: Runtime, session: Noting, emulator: Emulator, twins: Workflow, upload: Upload
) -> None:
    [image] = await rendered(runtime, await claimed(runtime, upload.reference))

    assert await colour(runtime.store, image) == RED
    assert session.put == [upload.comfy_name]
    assert (input_folder(emulator) / upload.comfy_name).stat().st_size == upload.bytes


async def test_it_is_put_once(
    runtime: Runtime, session: Noting, twins: Workflow, upload: Upload
) -> None:
    for _ in range(3):
        await rendered(runtime, await claimed(runtime, upload.reference))

    assert session.put == [upload.comfy_name]


async def test_what_easel_made_is_an_input_too(
    runtime: Runtime, session: Noting, twins: Workflow, upload: Upload
) -> None:
    [first] = await rendered(runtime, await claimed(runtime, upload.reference))
    [second] = await rendered(runtime, await claimed(runtime, f"artefact:{first.id}"))

    assert await colour(runtime.store, second) == RED
    assert session.put[1] == f"easel/{first.sha256}.png"


@pytest.mark.parametrize(("mode", "white"), [("L", 255), ("LA", (255, 255)), ("I;16", 65_535)])
async def test_a_grey_one_that_easel_made_is_sent_in_colour(
    runtime: Runtime,
    session: Noting,
    emulator: Emulator,
    claim: Claim,
    twins: Workflow,
    mode: str,
    white: Any,
) -> None:
    """ComfyUI's versions read grey and 16 bits differently."""
    store, buffer = runtime.store, io.BytesIO()
    Pillow.new(mode, (64, 64), white).save(buffer, "PNG")
    new = NewPicture(buffer.getvalue(), 64, 64, "image/png", seed=1)
    grey = await store.files.keep(claim.generation_id, claim.attempt, 0, new)
    await store.transitions.succeed(claim, [grey], nodes=1)

    for _ in range(2):
        [image] = await rendered(runtime, await claimed(runtime, f"artefact:{grey.id}"))

    assert await colour(store, image) == (255, 255, 255)
    [name] = session.put  # once: its bytes are the same at every try
    with Pillow.open(input_folder(emulator) / name) as sent:
        assert sent.mode == ("RGBA" if mode == "LA" else "RGB")
    await store.files.remove([grey])
    empty(emulator)
    held = await claimed(runtime, f"artefact:{grey.id}")
    with pytest.raises(InputGoneError):
        await submitted(runtime, held)


async def test_one_that_comfyui_has_in_part_is_put_again(
    runtime: Runtime, session: Noting, emulator: Emulator, twins: Workflow, upload: Upload
) -> None:
    half = input_folder(emulator) / upload.comfy_name
    half.parent.mkdir(parents=True)
    half.write_bytes((await runtime.store.files.read(upload.path))[:30])

    [image] = await rendered(runtime, await claimed(runtime, upload.reference))

    assert await colour(runtime.store, image) == RED


async def test_one_that_was_removed_ends_the_attempt(
    runtime: Runtime, session: Noting, twins: Workflow, upload: Upload
) -> None:
    claim = await claimed(runtime, upload.reference)
    await runtime.store.uploads.remove(upload.id)

    with pytest.raises(InputGoneError) as gone:
        await submitted(runtime, claim)
    await pipeline.end(runtime.store, session, claim, gone.value)

    generation = await runtime.store.generations.get(claim.generation_id)
    assert generation.error is not None
    assert generation.error.code == "upload_expired"
    assert upload.id[:12] in generation.error.detail
    assert not (await session.client.queue()).find(claim.prompt_id)


@pytest.mark.parametrize(
    "reference", [f"upload:{'0' * 64}", f"artefact:{UUID(int=5)}"], ids=["upload", "artefact"]
)
async def test_one_that_never_was_is_not_accepted(
    runtime: Runtime, session: Noting, twins: Workflow, reference: str
) -> None:
    with pytest.raises(FilesGoneError, match=reference):
        await claimed(runtime, reference)

    assert await runtime.store.generations.active() == ()


async def test_an_artefact_that_was_deleted_ends_the_attempt(
    runtime: Runtime, session: Noting, twins: Workflow, upload: Upload
) -> None:
    first = await claimed(runtime, upload.reference)
    [made] = await rendered(runtime, first)
    claim = await claimed(runtime, f"artefact:{made.id}")
    await runtime.store.transitions.delete(first.generation_id)

    with pytest.raises(InputGoneError):
        await submitted(runtime, claim)


async def test_one_whose_file_vanished(
    runtime: Runtime, session: Noting, twins: Workflow, upload: Upload
) -> None:
    await runtime.store.files.remove_file(upload.path)

    with pytest.raises(InputGoneError):
        await submitted(runtime, await claimed(runtime, upload.reference))


async def test_a_prompt_that_comfyui_has_needs_no_file_any_more(
    runtime: Runtime, session: Noting, emulator: Emulator, twins: Workflow, upload: Upload
) -> None:
    claim = await claimed(runtime, upload.reference)
    assert await submitted(runtime, claim) == "posted"
    await runtime.store.uploads.remove(upload.id)

    assert await submitted(runtime, claim) in ("already_queued", "already_finished")
    [_] = await rendered(runtime, claim)
    assert emulator.posts == {claim.prompt_id: 1}


async def test_a_prompt_that_comfyui_has_needs_no_artefact_any_more(
    runtime: Runtime, session: Noting, emulator: Emulator, twins: Workflow, upload: Upload
) -> None:
    first = await claimed(runtime, upload.reference)
    [made] = await rendered(runtime, first)
    claim = await claimed(runtime, f"artefact:{made.id}")
    assert await submitted(runtime, claim) == "posted"
    await runtime.store.transitions.delete(first.generation_id)

    assert await submitted(runtime, claim) in ("already_queued", "already_finished")
    [_] = await rendered(runtime, claim)
    assert emulator.posts[claim.prompt_id] == 1


async def test_the_input_folder_is_emptied_before_the_validation(
    runtime: Runtime, session: Noting, emulator: Emulator, twins: Workflow, upload: Upload
) -> None:
    session.after_put = partial(empty, emulator)

    [image] = await rendered(runtime, await claimed(runtime, upload.reference))

    assert await colour(runtime.store, image) == RED
    assert session.put == [upload.comfy_name] * 2


async def waits_behind_another(runtime: Runtime, emulator: Emulator, reference: object) -> Claim:
    """Its prompt is in the queue; it executes when ``emulator.faults.release()`` lets it."""
    emulator.faults.hang()
    other = str(uuid4())
    await runtime.session.submit(comfy.build_graph(resolved(), other), other)
    claim = await claimed(runtime, reference)
    await submitted(runtime, claim)
    return claim


async def test_the_input_folder_is_emptied_before_the_execution(
    runtime: Runtime, session: Noting, emulator: Emulator, twins: Workflow, upload: Upload
) -> None:
    claim = await waits_behind_another(runtime, emulator, upload.reference)
    rendering = asyncio.create_task(rendered(runtime, claim))
    empty(emulator)
    emulator.faults.release()

    [image] = await rendering

    assert await colour(runtime.store, image) == RED
    assert session.put == [upload.comfy_name] * 2


async def test_comfyui_restarts_without_its_input_folder(
    runtime: Runtime, session: Noting, emulator: Emulator, twins: Workflow, upload: Upload
) -> None:
    claim = await waits_behind_another(runtime, emulator, upload.reference)
    rendering = asyncio.create_task(rendered(runtime, claim))
    empty(emulator)
    await emulator.restart()

    [image] = await rendering

    assert await colour(runtime.store, image) == RED
    assert session.put == [upload.comfy_name] * 2


async def test_a_node_that_fails_for_another_reason_fails(
    runtime: Runtime, session: Noting, emulator: Emulator, twins: Workflow, upload: Upload
) -> None:
    emulator.faults.fail_node("SaveImage")
    claim = await claimed(runtime, upload.reference)

    with pytest.raises(ExecutionFailedError):
        await rendered(runtime, claim)

    assert emulator.posts == {claim.prompt_id: 1}


async def test_a_file_that_comfyui_does_not_take(
    runtime: Runtime, session: Noting, emulator: Emulator, twins: Workflow, upload: Upload
) -> None:
    emulator.faults.answer("POST", "/upload/image", status=413)
    claim = await claimed(runtime, upload.reference)

    with pytest.raises(InputRefusedError) as refused:
        await submitted(runtime, claim)
    await pipeline.end(runtime.store, session, claim, refused.value)

    error = (await runtime.store.generations.get(claim.generation_id)).error
    assert error is not None
    assert error.code == "input_refused"
    assert "--max-upload-size" in error.detail


async def test_trouble_with_a_put_is_trouble_of_the_moment(
    runtime: Runtime, session: Noting, emulator: Emulator, twins: Workflow, upload: Upload
) -> None:
    emulator.faults.answer("POST", "/upload/image", status=500)
    claim = await claimed(runtime, upload.reference)

    with pytest.raises(TransientComfyError):
        await submitted(runtime, claim)

    assert await submitted(runtime, claim) == "posted"


async def test_a_graph_without_files_is_looked_up_nowhere(runtime: Runtime) -> None:
    graph = comfy.Graph.from_json({"1": {"class_type": "X", "inputs": {"text": "upload: a fox"}}})

    inputs = await find_inputs(runtime.store, graph)

    assert inputs.sources == {}
    assert inputs.named(graph) is graph


@pytest.mark.parametrize("source", ["upload", "artefact"])
async def test_a_text_that_looks_like_a_reference_stays_a_text(
    runtime: Runtime, session: Noting, upload: Upload, source: str
) -> None:
    await runtime.store.workflows.add(SAID)
    text = {"upload": str(upload.reference), "artefact": f"artefact:{uuid4()}"}[source]
    fields: dict[str, Any] = {"workflow": SAID.name, "prompt": text}

    made = await rendered(runtime, await claimed_of(runtime, fields, SAID))

    assert [await runtime.store.files.read(one.path) for one in made] == [text.encode()] * 2
    assert session.put == []
    assert await runtime.store.uploads.expire(datetime.now(UTC) + timedelta(days=1)) == 1


def twins_of(folder: Path, *images: object) -> Source:
    path = folder / "rows.csv"
    path.write_text("\n".join(["image", *map(str, images)]) + "\n", encoding="utf-8")
    request = BatchRequest.model_validate({"defaults": {"workflow": TWIN.name}})
    rows = read_manifest(path, "csv", Columns(TWIN))
    return Source(request, rows, Lists.of({}), Known(), TWIN)


async def test_a_batch_names_files_that_are_there(
    store: Store, twins: Workflow, upload: Upload, tmp_path: Path
) -> None:
    reference, none = upload.reference, f"upload:{'0' * 64}"
    wrong = ("row", 3, "image")

    for refused in (
        plan_batch(twins_of(tmp_path, reference, none), store),
        accept_batch(store, twins_of(tmp_path, reference, none), uuid4(), "twins"),
    ):
        with pytest.raises(BatchRefusedError) as error:
            await refused
        assert [(one.loc, one.code) for one in error.value.problems] == [(wrong, "unknown_upload")]
    accepted = await accept_batch(store, twins_of(tmp_path, reference, reference), uuid4(), "twins")
    assert accepted.batch.total == 2
    assert await store.uploads.expire(datetime.now(UTC) + timedelta(days=1)) == 0


async def test_a_run_from_prefect_names_a_file_that_is_there(
    runtime: Runtime, twins: Workflow, upload: Upload
) -> None:
    store, client = runtime.store, runtime.session.client

    async def adopted(run: UUID, image: object) -> UUID:
        fields = {"workflow": TWIN.name, "image": str(image)}
        request = FlowRequest.model_validate(fields)
        return await adopt(store, client, request, None, run)

    with pytest.raises(comfy.UnresolvableError, match="no such upload"):
        await adopted(UUID(int=8), f"upload:{'0' * 64}")
    assert await adopted(UUID(int=9), upload.reference) == UUID(int=9)
    await store.uploads.remove(upload.id)  # it was there when the run was adopted
    assert await adopted(UUID(int=9), upload.reference) == UUID(int=9)


async def test_a_run_from_prefect_has_its_mask_made_normal(
    runtime: Runtime, upload: Upload, tmp_path: Path
) -> None:
    store, client = runtime.store, runtime.session.client
    hole = Pillow.new("RGBA", (64, 64), "red")
    hole.paste((0, 0, 0, 0), (8, 8, 24, 24))
    mask, small = (
        await kept(store, tmp_path, hole),
        await kept(store, tmp_path, hole.resize((8, 8))),
    )

    async def adopted(run: UUID, of: Upload) -> UUID:
        fields = {
            "workflow": "inpaint",
            "prompt": "an owl",
            "init_image": str(upload.reference),
            "mask": str(of.reference),
        }
        return await adopt(store, client, FlowRequest.model_validate(fields), None, run)

    with pytest.raises(comfy.UnresolvableError) as error:
        await adopted(UUID(int=8), small)
    assert [(one.loc, one.code) for one in error.value.problems] == [(("mask",), "mask_size")]
    assert await adopted(UUID(int=9), mask) == UUID(int=9)
    request = (await store.generations.get(UUID(int=9))).request
    assert isinstance(request, ResolvedRequest)
    made = request.inputs["mask"]
    assert made != str(mask.reference)
    assert set(request.plan.files) == {str(upload.reference), made}
    for one in (upload, mask):
        await store.uploads.remove(one.id)
    assert await adopted(UUID(int=9), mask) == UUID(int=9)
