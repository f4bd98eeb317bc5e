"""Files over HTTP: GET /view, POST /upload/image and /upload/mask."""

import asyncio
import hashlib
import io
import json
import mimetypes
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image

from .faults import Faults
from .folders import Folders, inside
from .release import Release

SCRIPTS = {
    "text/html",
    "text/html-sandboxed",
    "application/xhtml+xml",
    "text/javascript",
    "text/css",
}
"""Never sent with their own content type (a browser would run them)."""
MORE_SCRIPTS = {"image/svg+xml", "text/xml", "application/xml"}
"""Nor these, from 0.33 on."""


Form = Mapping[str, str | bytearray | bytes | web.FileField]


class Files:
    """The handlers."""

    def __init__(self, folders: Folders, faults: Faults, release: Release) -> None:
        self._folders = folders
        self._faults = faults
        self._release = release

    async def view(self, request: web.Request) -> web.StreamResponse:
        """GET /view: 400 bad name or type, 403 outside, 404 missing; empty bodies."""
        path = self._path(request)
        if isinstance(path, web.Response):
            return path
        disposition = {"Content-Disposition": f'filename="{path.name}"'}
        cut = self._faults.view_cut()
        if cut is not None:
            return await cut_short(request, path.read_bytes(), cut.size, "image/png")
        if "preview" in request.rel_url.query:
            return await asyncio.to_thread(_preview, path, request.query["preview"], disposition)
        channel = request.rel_url.query.get("channel", "rgba")
        if channel in ("rgb", "a"):
            return await asyncio.to_thread(_channel, path, channel, disposition)
        return web.FileResponse(path, headers=self._headers(path.name))

    def _headers(self, name: str) -> dict[str, str]:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        disposition = f'filename="{name}"'
        guard: dict[str, str] = {}
        if self._release.guards_views:
            guard["X-Content-Type-Options"] = "nosniff"
            disposition = f'filename="{_quotable(name)}"'
            if kind in SCRIPTS | MORE_SCRIPTS:
                guard["Cache-Control"] = "no-store"
                disposition = f"attachment; {disposition}"
                kind = "application/octet-stream"
        elif kind in SCRIPTS:
            kind = "application/octet-stream"
        return {"Content-Disposition": disposition, "Content-Type": kind, **guard}

    def _path(self, request: web.Request) -> Path | web.Response:
        query = request.rel_url.query
        if "filename" not in query:
            return web.Response(status=404)
        filename, folder = self._folders.annotated(query["filename"])
        if not filename or filename[0] == "/" or ".." in filename:
            return web.Response(status=400)
        folder = folder or self._folders.of_type(query.get("type", "output"))
        if folder is None:
            return web.Response(status=400)
        inner = folder / query.get("subfolder", "")
        if not inside(folder, inner):
            return web.Response(status=403)
        path = inner / Path(filename).name
        return path if path.is_file() else web.Response(status=404)

    async def upload(self, request: web.Request) -> web.Response:
        """POST /upload/image: same name and bytes keep the name, other bytes get " (1)"."""
        return self._stored(await request.post(), lambda content, _: content)

    async def upload_mask(self, request: web.Request) -> web.Response:
        """POST /upload/mask: the picture `original_ref` with the transparency of what is sent.

        Without that picture there is no file, and the answer says nothing of it.
        """
        form = await request.post()
        original = json.loads(str(form["original_ref"]))
        path = self._original(original)
        return self._stored(form, lambda content, target: _masked(path, content, target))

    def _original(self, reference: dict[str, Any]) -> Path | None:
        name = str(reference["filename"])
        folder = self._folders.of_type(str(reference.get("type", "output")))
        if folder is None or not name or name[0] == "/" or ".." in name:
            return None
        inner = folder / str(reference.get("subfolder", ""))
        path = inner / Path(name).name
        return path if inside(folder, inner) and path.is_file() else None

    def _stored(self, form: Form, change: Callable[[bytes, Path], bytes | None]) -> web.Response:
        image = form.get("image")
        if not isinstance(image, web.FileField) or not image.filename:
            return web.Response(status=400)
        kind = str(form.get("type", "input"))
        folder = self._folders.of_type(kind)
        if folder is None:
            raise ValueError(f"no such folder: {kind}")
        subfolder = str(form.get("subfolder", ""))
        target = _target(folder, subfolder, image.filename)
        if not inside(folder, target):
            return web.Response(status=400)
        content = image.file.read()
        overwrite = form.get("overwrite") in ("true", "1")
        target.parent.mkdir(parents=True, exist_ok=True)
        path = target if overwrite else _free_name(target, content)
        changed = change(content, path)
        if changed is not None:
            path.write_bytes(changed)
        return web.json_response({"name": path.name, "subfolder": subfolder, "type": kind})


def _quotable(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')


async def cut_short(
    request: web.Request, body: bytes, size: int, content_type: str
) -> web.StreamResponse:
    """Promise the whole body, send `size` bytes of it, cut the connection."""
    response = web.StreamResponse()
    response.content_type = content_type
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[:size])
    if request.transport is not None:
        request.transport.close()
    return response


def _masked(original: Path | None, content: bytes, target: Path) -> bytes | None:
    if original is None:
        return None
    with Image.open(original) as picture, Image.open(io.BytesIO(content)) as mask:
        whole = picture.convert("RGBA")
        whole.putalpha(mask.convert("RGBA").getchannel("A").resize(whole.size))
    buffer = io.BytesIO()
    whole.save(buffer, "WEBP" if target.suffix == ".webp" else "PNG")
    return buffer.getvalue()


def _target(folder: Path, subfolder: str, filename: str) -> Path:
    return folder / os.path.normpath(subfolder) / filename


def _free_name(target: Path, content: bytes) -> Path:
    digest = hashlib.sha256(content).digest()
    path, number = target, 1
    while path.exists() and hashlib.sha256(path.read_bytes()).digest() != digest:
        path = target.with_name(f"{target.stem} ({number}){target.suffix}")
        number += 1
    return path


def _preview(path: Path, wish: str, headers: dict[str, str]) -> web.Response:
    kind, _, quality = wish.partition(";")
    if kind not in ("webp", "jpeg"):
        kind = "webp"
    number = int(quality) if quality.isdigit() else 90
    buffer = io.BytesIO()
    with Image.open(path) as image:
        picture = image.convert("RGB") if kind == "jpeg" else image
        picture.save(buffer, kind, quality=number)
    return web.Response(body=buffer.getvalue(), content_type=f"image/{kind}", headers=headers)


def _channel(path: Path, channel: str, headers: dict[str, str]) -> web.Response:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        if channel == "rgb":
            image.convert("RGB").save(buffer, "PNG")
        else:
            mask = Image.new("RGBA", image.size)
            mask.putalpha(image.convert("RGBA").getchannel("A"))
            mask.save(buffer, "PNG")
    return web.Response(body=buffer.getvalue(), content_type="image/png", headers=headers)
