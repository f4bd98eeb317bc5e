"""Workflows that the emulator serves, files in pieces, and masks that are sent."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from comfy.emulator.workflows import official_templates

from .test_emulator import FAST, blank, calling

WORKFLOW = {"nodes": [], "version": 0.4}


async def test_the_users_own_workflows() -> None:
    """app/user_manager.py of 0.33.0."""
    async with calling() as (emulator, caller):
        listing = {"dir": "workflows", "recurse": "true"}
        assert (await caller.get("/userdata", **listing))[0] == 404
        body = json.dumps(WORKFLOW)
        async with caller.http.post("/userdata/workflows%2Fsub%2Fa.json", data=body) as reply:
            assert (reply.status, await reply.json()) == (200, "workflows/sub/a.json")
        assert (emulator.user_dir / "workflows/sub/a.json").read_text() == body
        (emulator.user_dir / "workflows" / "b.json").write_text(body)
        assert await caller.get("/userdata", **listing) == (200, ["b.json", "sub/a.json"])
        assert await caller.get("/userdata", dir="workflows") == (200, ["b.json"])
        _, [info, _] = await caller.get("/userdata", **listing, full_info="true")
        assert set(info) == {"path", "size", "modified", "created"}
        async with caller.http.get("/api/userdata/workflows%2Fsub%2Fa.json") as reply:
            assert json.loads(await reply.read()) == WORKFLOW
        url = "/userdata/workflows%2Fb.json"
        async with caller.http.post(url, params={"overwrite": "false"}, data=b"{}") as reply:
            assert reply.status == 409
        async with caller.http.delete(url) as reply:
            assert reply.status == 204
        for path in ("/userdata/workflows%2Fb.json", "/userdata/nope.json"):
            async with caller.http.get(path) as reply:
                assert reply.status == 404
        async with caller.http.get("/userdata/..%2Fsecret") as reply:
            assert reply.status == 403
        assert (await caller.get("/userdata", dir="../x"))[0] == 403
        assert (await caller.get("/userdata"))[0] == 400


async def test_templates_of_a_folder(tmp_path: Path) -> None:
    """server.py of 0.33.0: static files; 404 where there is no page."""
    (tmp_path / "index.json").write_text("[]")
    (tmp_path / "wan.json").write_text(json.dumps(WORKFLOW))
    (tmp_path / "wan-1.webp").write_bytes(b"RIFF")
    async with calling(replace(FAST, templates_dir=tmp_path)) as (_, caller):
        assert await caller.get("/templates/index.json") == (200, [])
        assert await caller.get("/templates/wan.json") == (200, WORKFLOW)
        async with caller.http.get("/templates/wan-1.webp") as reply:
            assert await reply.read() == b"RIFF"
        assert (await caller.get("/templates/nope.json"))[0] == 404
        async with caller.http.get("/templates/..%2F..%2Fetc%2Fpasswd") as reply:
            assert reply.status == 404
        assert await caller.get("/workflow_templates") == (200, {})
    async with calling(replace(FAST, templates_dir=tmp_path / "none")) as (_, caller):
        assert (await caller.get("/templates/index.json"))[0] == 404


@pytest.mark.skipif(official_templates() is None, reason="the official package is not installed")
async def test_official_templates() -> None:
    async with calling() as (_, caller):
        _, groups = await caller.get("/templates/index.json")
        name = groups[0]["templates"][0]["name"]
        _, workflow = await caller.get(f"/templates/{name}.json")
    assert "nodes" in workflow


async def test_blueprints() -> None:
    """app/subgraph_manager.py of 0.33.0."""
    async with calling() as (emulator, caller):
        assert await caller.get("/global_subgraphs") == (200, {})
        emulator.blueprints_dir.mkdir()
        (emulator.blueprints_dir / "Blur.json").write_text(json.dumps(WORKFLOW))
        _, found = await caller.get("/global_subgraphs")
        [(key, entry)] = found.items()
        assert (entry["name"], entry["source"]) == ("Blur", "templates")
        assert "data" not in entry
        _, whole = await caller.get(f"/global_subgraphs/{key}")
        assert json.loads(whole["data"]) == WORKFLOW
        assert await caller.get("/global_subgraphs/nope") == (200, None)


async def test_files_in_pieces() -> None:
    """aiohttp's FileResponse, as recorded: ranges, tags, conditions."""
    async with calling() as (emulator, caller):
        await caller.run(blank())
        params = {"filename": "mf_00001_.png"}
        content = (emulator.output_dir / "mf_00001_.png").read_bytes()

        async def view(**headers: str) -> tuple[int, bytes, str]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            async with caller.http.get("/view", params=params, headers=named) as reply:
                return reply.status, await reply.read(), reply.headers.get("ETag", "")

        _, _, tag = await view()
        assert (await view(Range="bytes=2-5"))[:2] == (206, content[2:6])
        assert (await view(Range="bytes=-4"))[:2] == (206, content[-4:])
        assert (await view(Range="bytes=99999-"))[0] == 416
        assert (await view(If_None_Match=tag))[0] == 304
        async with caller.http.head("/view", params=params) as reply:
            assert reply.headers["Content-Length"] == str(len(content))


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def form(content: bytes, **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("image", content, filename="mask.png", content_type="image/png")
    for name, value in fields.items():
        data.add_field(name, value)
    return data


async def test_a_mask_is_put_into_its_picture() -> None:
    """server.py of 0.24.0, recorded: an original that is missing is no error, and no file."""
    mask = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    mask.paste((0, 0, 0, 255), (0, 0, 4, 8))
    async with calling() as (emulator, caller):
        Image.new("RGB", (8, 8), (255, 0, 0)).save(emulator.input_dir / "red.png")
        original = json.dumps({"filename": "red.png", "type": "input", "subfolder": ""})
        data = form(png(mask), original_ref=original, subfolder="clip", type="input")
        async with caller.http.post("/upload/mask", data=data) as reply:
            assert await reply.json() == {"name": "mask.png", "subfolder": "clip", "type": "input"}
        with Image.open(emulator.input_dir / "clip" / "mask.png") as picture:
            assert picture.convert("RGBA").getpixel((1, 1)) == (255, 0, 0, 255)
            assert picture.convert("RGBA").getpixel((6, 1)) == (255, 0, 0, 0)
        for name in ("nope.png", "../red.png"):
            missing = json.dumps({"filename": name, "type": "input"})
            data = form(png(mask), original_ref=missing, subfolder="other")
            async with caller.http.post("/upload/mask", data=data) as reply:
                assert reply.status == 200
        assert list((emulator.input_dir / "other").iterdir()) == []
        async with caller.http.post("/upload/mask", data=form(png(mask))) as reply:
            assert reply.status == 500


async def test_uploads_by_type_subfolder_and_overwrite() -> None:
    """Recorded from 0.24.0."""
    async with calling() as (emulator, caller):

        async def upload(content: bytes, **fields: str) -> tuple[int, object]:
            async with caller.http.post("/upload/image", data=form(content, **fields)) as reply:
                is_json = reply.content_type == "application/json"
                return reply.status, await reply.json() if is_json else None

        first = {"name": "mask.png", "subfolder": "", "type": "input"}
        assert await upload(b"a") == (200, first)
        assert await upload(b"a") == (200, first)
        assert await upload(b"b") == (200, {**first, "name": "mask (1).png"})
        assert await upload(b"c", overwrite="true") == (200, first)
        assert (emulator.input_dir / "mask.png").read_bytes() == b"c"
        deep = {"name": "mask.png", "subfolder": "easel/x", "type": "output"}
        assert await upload(b"d", subfolder="easel/x", type="output") == (200, deep)
        assert (emulator.output_dir / "easel" / "x" / "mask.png").read_bytes() == b"d"
        assert (await upload(b"e", type="banana"))[0] == 500
        assert (await upload(b"e", subfolder="../x"))[0] == 400
