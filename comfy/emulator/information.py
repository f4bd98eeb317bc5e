"""ComfyUI's routes that only tell: nodes, models, features, and what its own page asks for."""

import os
import platform
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .machine import Machine
from .models import MODEL_FOLDERS

PACKAGES = {
    "comfyui-frontend-package": "1.45.15",
    "comfyui-workflow-templates": "0.9.98",
    "comfyui-embedded-docs": "0.5.3",
}
"""Any versions do: the emulator has no page of its own."""
NO_FILES = ("configs", "custom_nodes")
"""Folders that /experiment/models leaves out: what they hold is no model."""
MEMORY = 8 * 2**30
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Information:
    """The handlers."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def table(self) -> list[web.RouteDef]:
        """Those that this release has, without the prefix."""
        routes = [
            web.get("/object_info", self.get_object_info),
            web.get("/object_info/{name}", self.get_object_info_of),
            web.get("/models", self.get_models),
            web.get("/models/{folder}", self.get_models_of),
            web.get("/experiment/models", self.get_folders),
            web.get("/experiment/models/{folder}", self.get_files_of),
            web.get("/view_metadata/{folder}", self.get_metadata),
            web.get("/embeddings", self.get_embeddings),
            web.get("/features", self.get_features),
            web.get("/system_stats", self.get_system_stats),
            web.get("/extensions", _always([])),
            web.get("/users", _always({"storage": "server", "migrated": False})),
            web.get("/settings", _always({})),
            web.get("/internal/logs", _always("")),
            web.get("/internal/logs/raw", _always({"entries": [], "size": LOG_SIZE})),
        ]
        if self._machine.release.replaces_nodes:
            routes.append(web.get("/node_replacements", _always({})))
        return routes

    async def get_object_info(self, _: web.Request) -> web.Response:
        """GET /object_info: every node class."""
        return web.json_response(self._machine.catalogue.object_info())

    async def get_object_info_of(self, request: web.Request) -> web.Response:
        """GET /object_info/{name}: {} for an unknown one."""
        name = request.match_info["name"]
        return web.json_response(self._machine.catalogue.object_info_of(name))

    async def get_models(self, _: web.Request) -> web.Response:
        """GET /models: the names of the folders."""
        return web.json_response(MODEL_FOLDERS)

    async def get_models_of(self, request: web.Request) -> web.Response:
        """GET /models/{folder}: its files, or 404."""
        names = self._machine.catalogue.models(request.match_info["folder"])
        return web.Response(status=404) if names is None else web.json_response(names)

    async def get_embeddings(self, _: web.Request) -> web.Response:
        """GET /embeddings: names without extension."""
        names = self._machine.catalogue.models("embeddings") or ()
        return web.json_response([os.path.splitext(name)[0] for name in names])  # noqa: PTH122

    async def get_features(self, _: web.Request) -> web.Response:
        """GET /features: the same as in the socket's negotiation."""
        return web.json_response(self._machine.features)

    async def get_folders(self, _: web.Request) -> web.Response:
        """GET /experiment/models: the folders, with their places."""
        places = self._machine.catalogue.model_files.places
        return web.json_response(
            [
                {"name": name, "folders": list(map(str, places(name)))}
                for name in MODEL_FOLDERS
                if name not in NO_FILES
            ]
        )

    async def get_files_of(self, request: web.Request) -> web.Response:
        """GET /experiment/models/{folder}: its files, or 404."""
        files = self._machine.catalogue.model_files.listed(request.match_info["folder"])
        return web.Response(status=404) if files is None else web.json_response(files)

    async def get_metadata(self, request: web.Request) -> web.Response:
        """GET /view_metadata/{folder}?filename=: what a safetensors file says of itself, or 404."""
        name = request.rel_url.query.get("filename", "")
        try:
            header = self._machine.catalogue.model_files.header(request.match_info["folder"], name)
        except ValueError:
            return web.Response(status=500)
        if header is None or "__metadata__" not in header:
            return web.Response(status=404)
        return web.json_response(header["__metadata__"])

    async def get_system_stats(self, _: web.Request) -> web.Response:
        """GET /system_stats; `easel_emulator` says that no model is used."""
        return web.json_response({"system": self._system(), "devices": [DEVICE]})

    def _system(self) -> dict[str, Any]:
        says_packages = self._machine.release.says_packages
        packages = [
            {"name": name, "installed": version, "required": version}
            for name, version in PACKAGES.items()
        ]
        templates = PACKAGES["comfyui-workflow-templates"]
        return {
            "os": sys.platform,
            "ram_total": MEMORY,
            "ram_free": MEMORY,
            "comfyui_version": self._machine.options.comfyui_version,
            "required_frontend_version": PACKAGES["comfyui-frontend-package"],
            "installed_templates_version": templates,
            "required_templates_version": templates,
            **({"comfy_package_versions": packages} if says_packages else {}),
            "python_version": platform.python_version(),
            "pytorch_version": "none",
            "embedded_python": False,
            **({"deploy_environment": "local-git"} if says_packages else {}),
            "argv": ["main.py", "--listen", self._machine.options.host],
            "easel_emulator": True,
        }


DEVICE = {
    "name": "emulator",
    "type": "cpu",
    "index": None,
    "vram_total": MEMORY,
    "vram_free": MEMORY,
    "torch_vram_total": MEMORY,
    "torch_vram_free": MEMORY,
}
LOG_SIZE = {"cols": 80, "rows": 24}


def _always(body: Any) -> Handler:
    """A handler for what the emulator has nothing of."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response(body)

    return handler
