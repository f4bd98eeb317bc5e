"""Workflows over HTTP: the user's own, official templates, blueprints."""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from .folders import Folders, inside
from .release import Release

PACKAGE = "comfyui_workflow_templates_json"
"""The official templates' package; it has no thumbnails."""


class Workflows:
    """The handlers."""

    def __init__(self, folders: Folders, templates: Path | None, release: Release) -> None:
        self._user = folders.user
        self._blueprints = folders.blueprints
        self._templates = templates or official_templates()
        self._release = release

    def table(self) -> list[web.RouteDef]:
        """Those that this release has, without the prefix."""
        routes = [
            web.get("/templates/{path:.+}", self.get_template),
            web.get("/workflow_templates", self.get_packs),
            web.get("/userdata", self.get_names),
            web.get("/userdata/{file}", self.get_file),
            web.post("/userdata/{file}", self.post_file),
            web.delete("/userdata/{file}", self.delete_file),
        ]
        if self._release.replaces_nodes:
            routes += [
                web.get("/global_subgraphs", self.get_blueprints),
                web.get("/global_subgraphs/{id}", self.get_blueprint),
            ]
        return routes

    async def get_template(self, request: web.Request) -> web.StreamResponse:
        """GET /templates/index.json, /templates/{name}.json and pictures, or 404."""
        if self._templates is None:
            return web.Response(status=404)
        path = self._templates / request.match_info["path"]
        if not inside(self._templates, path) or not path.is_file():
            return web.Response(status=404)
        return web.FileResponse(path)

    async def get_packs(self, _: web.Request) -> web.Response:
        """GET /workflow_templates: the packs of nodes that bring some; here there are none."""
        return web.json_response({})

    async def get_names(self, request: web.Request) -> web.Response:
        """GET /userdata?dir=&recurse=&full_info=&split=: 400 no dir, 403 outside, 404 missing."""
        query = request.rel_url.query
        if not query.get("dir"):
            return web.Response(status=400, text="Directory not provided")
        folder = self._user / query["dir"]
        if not inside(self._user, folder):
            return web.Response(status=403, text="Invalid directory")
        if not folder.is_dir():
            return web.Response(status=404, text="Directory not found")
        pattern = "**/*" if _is_true(query.get("recurse")) else "*"
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
        if _is_true(query.get("full_info")):
            return web.json_response([_info(path, folder) for path in files])
        names = [path.relative_to(folder).as_posix() for path in files]
        if _is_true(query.get("split")):
            return web.json_response([[name, *name.split("/")] for name in names])
        return web.json_response(names)

    async def get_file(self, request: web.Request) -> web.StreamResponse:
        """GET /userdata/{file}: 403 outside, 404 missing."""
        path = self._path(request)
        if path is None:
            return web.Response(status=403)
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    async def post_file(self, request: web.Request) -> web.Response:
        """POST /userdata/{file}?overwrite=&full_info=: its name; 403 outside, 409 taken."""
        path = self._path(request)
        if path is None:
            return web.Response(status=403)
        query = request.rel_url.query
        if query.get("overwrite") == "false" and path.exists():
            return web.Response(status=409, text="File already exists")
        content = await request.read()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        info = _info(path, self._user)
        return web.json_response(info if _is_true(query.get("full_info")) else info["path"])

    async def delete_file(self, request: web.Request) -> web.Response:
        """DELETE /userdata/{file}: an empty 204; 403 outside, 404 missing."""
        path = self._path(request)
        if path is None:
            return web.Response(status=403)
        if not path.is_file():
            return web.Response(status=404)
        path.unlink()
        return web.Response(status=204)

    def _path(self, request: web.Request) -> Path | None:
        path = self._user / unquote(request.match_info["file"])
        return path if inside(self._user, path) else None

    async def get_blueprints(self, _: web.Request) -> web.Response:
        """GET /global_subgraphs: where each is from, and its name, by id."""
        paths = sorted(self._blueprints.glob("*.json"))
        return web.json_response({_id(path): _blueprint(path) for path in paths})

    async def get_blueprint(self, request: web.Request) -> web.Response:
        """GET /global_subgraphs/{id}: with its file as a text; null for an unknown one."""
        for path in self._blueprints.glob("*.json"):
            if _id(path) == request.match_info["id"]:
                data = path.read_text(encoding="utf-8")
                return web.json_response({**_blueprint(path), "data": data})
        return web.json_response(None)


def official_templates() -> Path | None:
    """The folder of the official templates' package, None if it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations))) / "templates"
    return folder if folder.is_dir() else None


def _id(path: Path) -> str:
    return hashlib.sha256(f"blueprints/{path.name}".encode()).hexdigest()


def _blueprint(path: Path) -> dict[str, Any]:
    return {"source": "templates", "name": path.stem, "info": {"node_pack": "comfyui"}}


def _info(path: Path, root: Path) -> dict[str, Any]:
    stat = path.stat()
    return {
        "path": path.relative_to(root).as_posix(),
        "size": stat.st_size,
        "modified": int(stat.st_mtime * 1000),
        "created": int(stat.st_ctime * 1000),
    }


def _is_true(value: str | None) -> bool:
    return (value or "").lower() == "true"
