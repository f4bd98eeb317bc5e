"""What the emulator tells of itself, and how it serves files, by the version that it emulates."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from comfy.emulator import EmulatorOptions

from .test_emulator import FAST, FLAGS, blank, calling

FEATURES: dict[str, dict[str, Any]] = {
    "0.3.64": {"supports_preview_metadata": True, "max_upload_size": 104857600},
    "0.24.0": {
        "supports_preview_metadata": True,
        "max_upload_size": 104857600,
        "extension": {"manager": {"supports_v4": True}},
        "node_replacements": True,
        "assets": False,
    },
}
FEATURES["0.33.0"] = FEATURES["0.24.0"] | {"supports_model_type_tags": True}
SYSTEM = {
    "os",
    "ram_total",
    "ram_free",
    "comfyui_version",
    "required_frontend_version",
    "installed_templates_version",
    "required_templates_version",
    "python_version",
    "pytorch_version",
    "embedded_python",
    "argv",
}


def version(text: str) -> EmulatorOptions:
    return replace(FAST, comfyui_version=text)


@pytest.mark.parametrize("of", list(FEATURES))
async def test_features_over_http_and_the_socket(of: str) -> None:
    """Recorded from 0.3.64 and 0.24.0; comfy_api/feature_flags.py of 0.33.0."""
    async with calling(version(of)) as (_, caller):
        assert (await caller.get("/features"))[1] == FEATURES[of]
        async with caller.http.ws_connect("/ws") as socket:
            await socket.receive()
            await socket.send_json(FLAGS)
            assert (await socket.receive()).json()["data"] == FEATURES[of]


async def test_system_stats() -> None:
    """Recorded from 0.3.64 and 0.24.0; server.py of 0.33.0 has the same keys as 0.24.0."""
    for of, more in (
        ("0.3.64", set()),
        ("0.33.0", {"comfy_package_versions", "deploy_environment"}),
    ):
        async with calling(version(of)) as (_, caller):
            _, stats = await caller.get("/system_stats")
        assert set(stats["system"]) - {"easel_emulator"} == SYSTEM | more
        assert stats["system"]["argv"][0] == "main.py"


async def test_routes_of_its_own_page() -> None:
    """Recorded from 0.24.0 and 0.3.64 (server.py, app/, api_server/routes/internal)."""
    bodies: dict[str, Any] = {
        "/extensions": [],
        "/users": {"storage": "server", "migrated": False},
        "/settings": {},
        "/node_replacements": {},
        "/global_subgraphs": {},
        "/internal/logs": "",
        "/internal/logs/raw": {"entries": [], "size": {"cols": 80, "rows": 24}},
    }
    async with calling() as (_, caller):
        for path, body in bodies.items():
            assert await caller.get(path) == (200, body), path
        assert (await caller.get("/api/settings")) == (200, {})
        assert (await caller.get("/api/internal/logs"))[0] == 404
    async with calling(version("0.3.64")) as (_, caller):
        for path in bodies:
            found, _ = await caller.get(path)
            assert found == (404 if path in ("/node_replacements", "/global_subgraphs") else 200)


async def test_model_files_and_what_they_say() -> None:
    """app/model_manager.py and server.py (view_metadata) of 0.33.0."""
    name = "emulator-sd15.safetensors"
    async with calling() as (_, caller):
        _, folders = await caller.get("/experiment/models")
        assert {"name", "folders"} == set(folders[0])
        names = [folder["name"] for folder in folders]
        assert "checkpoints" in names
        assert not {"configs", "custom_nodes"} & set(names)
        _, files = await caller.get("/experiment/models/checkpoints")
        assert files[0]["name"] == name
        assert set(files[0]) == {"name", "pathIndex", "modified", "created", "size"}
        assert (await caller.get("/experiment/models/nope"))[0] == 404
        assert await caller.get("/view_metadata/checkpoints", filename=name) == (
            200,
            {"format": "pt"},
        )
        for folder, params in (
            ("checkpoints", {"filename": "nope.safetensors"}),
            ("nope", {"filename": name}),
            ("checkpoints", {}),
        ):
            assert (await caller.get(f"/view_metadata/{folder}", **params))[0] == 404


@pytest.mark.parametrize("name", ["page.html", "v.svg", "s.js"])
async def test_what_a_browser_could_run_is_downloaded(name: str) -> None:
    """server.py (view_image) and folder_paths.py of 0.33.0; 0.24.0 was recorded."""
    async with calling() as (emulator, caller):
        (emulator.output_dir / name).write_text("<svg/>")
        async with caller.http.get("/view", params={"filename": name}) as reply:
            assert reply.headers["Content-Disposition"] == f'attachment; filename="{name}"'
            assert reply.headers["Content-Type"] == "application/octet-stream"
            assert reply.headers["Cache-Control"] == "no-store"
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
    async with calling(version("0.24.0")) as (emulator, caller):
        (emulator.output_dir / name).write_text("<svg/>")
        async with caller.http.get("/view", params={"filename": name}) as reply:
            assert reply.headers["Content-Disposition"] == f'filename="{name}"'
            is_svg = name.endswith(".svg")
            kind = "image/svg+xml" if is_svg else "application/octet-stream"
            assert reply.headers["Content-Type"] == kind
            assert not {"Cache-Control", "X-Content-Type-Options"} & set(reply.headers)


async def test_a_picture_is_shown_and_its_name_quoted() -> None:
    """server.py (view_image) of 0.33.0."""
    async with calling() as (emulator, caller):
        await caller.run(blank('a"b'))
        name = {"filename": 'a"b_00001_.png'}
        async with caller.http.get("/view", params=name) as reply:
            assert reply.headers["Content-Type"] == "image/png"
            assert reply.headers["Content-Disposition"] == 'filename="a\\"b_00001_.png"'
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert "Cache-Control" not in reply.headers
        async with caller.http.get("/view", params={**name, "preview": "webp"}) as reply:
            assert "X-Content-Type-Options" not in reply.headers
        assert emulator.renders == {}


async def test_files_have_ids_with_assets() -> None:
    """As seen of 0.33.0 with --enable-assets."""
    async with calling(replace(FAST, assets=True)) as (_, caller):
        assert (await caller.get("/features"))[1]["assets"] is True
        [image] = (await caller.run(blank()))["outputs"]["2"]["images"]
        assert set(image) == {"filename", "subfolder", "type", "id"}
        assert str(uuid.UUID(image["id"])) == image["id"]
