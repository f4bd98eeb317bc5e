"""Each declared input, changed alone, changes what is generated."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import av
import pytest
import pytest_asyncio
from PIL import Image

from comfy.nodes import NodeCatalogue
from comfy.shipped import SHIPPED
from comfy.workflows.imported import filled
from comfy.workflows.live_values import check_values, live_choices
from core.workflows.declaration import Input
from tests.comfy.shipped.reading import Read, put_files, read
from tests.comfy.test_emulator import Caller, calling
from tests.comfy.test_emulator_artefacts import ANY_MODEL

TURBO: Final = {"turbo": True}
ENHANCED: Final = {"enhance_prompt": True}
WAN: Final = {
    **dict.fromkeys(("turbo_steps", "turbo_cfg", "turbo_split"), TURBO),
    **dict.fromkeys(("high_noise_lightning_lora", "low_noise_lightning_lora"), TURBO),
}
MINIMAX: Final = dict.fromkeys(("turbo_steps", "turbo_strength", "lora"), TURBO)
ONLY_WITH: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "qwen-image-edit": dict.fromkeys(("turbo_steps", "turbo_cfg", "lora"), TURBO),
    "wan22-t2v": WAN,
    "wan22-i2v": WAN,
    "ltx23-t2v": {"lora": ENHANCED},
    "ltx23-i2v": {"lora": ENHANCED},
    "minimax-h3-t2v": MINIMAX,
    "minimax-h3-i2v": MINIMAX,
    "upscale-video": {
        "start_s": {"trim": True},
        "duration_s": {"trim": True},
        "overlap": {"split": True},
    },
    "stable-audio": dict.fromkeys(("category", "language_model"), ENHANCED),
}
"""Inputs that count only where another one has this value: the rest count as they are."""
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Comfy:
    caller: Caller
    catalogue: NodeCatalogue
    runs: int = 0

    async def made(self, found: Read, values: dict[str, Any]) -> str:
        """A hash of the primary output, without what its file says of the graph."""
        self.runs += 1
        graph = filled(found.workflow, values, f"shipped/{self.runs}", self.catalogue)
        entry = await self.caller.run(graph)
        assert entry["status"]["completed"] is True, entry["status"]
        primary = next(one for one in found.workflow.outputs if one.primary)
        shown = entry["outputs"][primary.node]
        files = [one for key in ("images", "audio", "3d") for one in shown.get(key, ())]
        assert files
        digest = hashlib.sha256()
        for file in files:
            async with self.caller.http.get("/view", params=file) as reply:
                digest.update(content(str(file["filename"]), await reply.read()))
        return digest.hexdigest()


def content(name: str, data: bytes) -> bytes:
    if name.endswith(".png"):
        with Image.open(io.BytesIO(data)) as picture:
            return f"{picture.size}".encode() + picture.tobytes()
    if name.endswith(".glb"):
        return mesh(data)
    with av.open(io.BytesIO(data), "r") as container:
        packets = [
            f"{packet.stream.index} {packet.pts} {packet.time_base} ".encode() + bytes(packet)
            for packet in container.demux()
        ]
    assert len(packets) > 1
    return b"".join(packets)


def mesh(data: bytes) -> bytes:
    """A binary glTF without what its first part, a JSON document, says of itself."""
    size = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + size])
    del document["asset"]
    return json.dumps(document).encode() + data[20 + size :]


def other(one: Input, now: Any, choices: tuple[Any, ...]) -> Any:
    """Another value that the input takes."""
    match one.type:
        case "boolean":
            return not now
        case "choice":
            return next(choice for choice in one.choices or choices if choice != now)
        case "model":
            return "other.safetensors"
        case "image" | "video":
            return str(now).replace("one", "other")
        case "text" | "longtext":
            return f"{now}, another one"
        case "seed":
            return now + 1
        case "integer":
            return now + int(one.multiple_of or 1)
        case _:
            more = now + 0.25
            return more if one.maximum is None or more <= one.maximum else now - 0.25


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comfy() -> AsyncIterator[Comfy]:
    async with calling(ANY_MODEL) as (emulator, caller):
        put_files(emulator.input_dir)
        _, told = await caller.get("/object_info")
        yield Comfy(caller, NodeCatalogue.from_object_info(told))


@pytest.mark.parametrize("name", SHIPPED)
async def test_each_input_changes_the_artefact(comfy: Comfy, name: str) -> None:
    found = read(SHIPPED[name], comfy.catalogue)
    choices = live_choices(found.workflow, comfy.catalogue)
    only_with = ONLY_WITH.get(name, {})
    assert set(only_with) <= set(found.workflow.by_name)
    known = {"None": await comfy.made(found, found.values)}
    again = await comfy.made(found, found.values)
    assert again == known["None"]  # a difference comes of the value alone
    without_effect = []
    for one in found.workflow.inputs:
        before = {**found.values, **only_with.get(one.name, {})}
        key = repr(only_with.get(one.name))
        if key not in known:
            known[key] = await comfy.made(found, before)
        now = before[one.name]
        after = {**before, one.name: other(one, now, choices.get(one.name, ()))}
        problems = check_values(found.workflow, after, comfy.catalogue)
        assert [each for each in problems if each.code != "unknown_model"] == []
        if await comfy.made(found, after) == known[key]:
            without_effect.append(one.name)
    assert without_effect == []
