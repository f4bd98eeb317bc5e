"""The model files of an emulator: names that it was given, or what is in a folder of real files."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .folders import Folders
from .models import MODEL_FOLDERS
from .options import EmulatorOptions

EXTENSIONS = {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}
"""What counts as a model file: supported_pt_extensions of ComfyUI's folder_paths.py."""
LEGACY = {"unet": "diffusion_models", "clip": "text_encoders"}
"""Former names of folders, which some routes still take: map_legacy of folder_paths.py."""
PLACES = {
    "diffusion_models": ("unet", "diffusion_models"),
    "text_encoders": ("text_encoders", "clip"),
    "controlnet": ("controlnet", "t2i_adapter"),
}
"""Folders that have several places, of folder_paths.py; every other has the one of its name."""
HEADER_MAX = 2**20
"""The largest header whose metadata are told, in bytes: server.py (view_metadata)."""


class ModelFiles:
    """The files by folder. With a ``models_dir`` they are looked up anew on each call."""

    def __init__(self, options: EmulatorOptions, folders: Folders) -> None:
        self._options = options
        self._root = options.models_dir and options.models_dir.absolute()
        self._shown = self._root or folders.output.with_name("models")

    def places(self, folder: str) -> list[Path]:
        """The absolute paths of a folder; maybe not there."""
        return [self._shown / name for name in PLACES.get(folder, (folder,))]

    def names(self, folder: str) -> list[str] | None:
        """The names of its files, None if there is no such folder."""
        if folder not in MODEL_FOLDERS:
            return None
        if self._root is None:
            return self._given(folder)
        return sorted({name for place in self.places(folder) for name, _ in _files(place)})

    def listed(self, folder: str) -> list[dict[str, Any]] | None:
        """Its files as /experiment/models/{folder} tells of them: no hidden ones."""
        if folder not in MODEL_FOLDERS:
            return None
        if self._root is None:
            nothing = {"pathIndex": 0, "modified": 0.0, "created": 0.0, "size": 0}
            return [{"name": name, **nothing} for name in self._given(folder)]
        return [
            {
                "name": name,
                "pathIndex": index,
                "modified": about.st_mtime,
                "created": about.st_ctime,
                "size": about.st_size,
            }
            for index, place in enumerate(self.places(folder))
            for name, about in _files(place, hidden=False)
        ]

    def header(self, folder: str, name: str) -> Any:
        """The parsed header of a safetensors file, None if there is no such file or it is too long.

        Raises ValueError for one that is malformed.
        """
        folder = LEGACY.get(folder, folder)
        if folder not in MODEL_FOLDERS or not name.endswith(".safetensors"):
            return None
        if self._root is None:
            return {"__metadata__": {"format": "pt"}} if name in self._given(folder) else None
        inside = os.path.relpath(os.path.join("/", name), "/")  # noqa: PTH118 - ComfyUI's own rule
        found = (place / inside for place in self.places(folder))
        file = next((path for path in found if path.is_file()), None)
        return None if file is None else _header(file)

    def _given(self, folder: str) -> list[str]:
        known = {
            "checkpoints": self._options.checkpoints,
            "loras": self._options.loras,
            "embeddings": tuple(f"{name}.safetensors" for name in self._options.embeddings),
        }
        return sorted({*known.get(folder, ()), *self._options.models.get(folder, ())})


def _files(place: Path, *, hidden: bool = True) -> Iterator[tuple[str, os.stat_result]]:
    """The model files under a place: their names relative to it, and what the system says."""
    for within, folders, files in os.walk(place, followlinks=True):
        folders[:] = [name for name in folders if name != ".git" and _shows(name, hidden)]
        for name in files:
            path = Path(within, name)
            if path.suffix.lower() in EXTENSIONS and _shows(name, hidden) and path.is_file():
                yield str(path.relative_to(place)), path.stat()


def _shows(name: str, hidden: bool) -> bool:
    return hidden or not name.startswith(".")


def _header(file: Path) -> Any:
    with file.open("rb") as opened:
        length = opened.read(8)
        if len(length) < 8:
            raise ValueError("it has no header")
        size = int.from_bytes(length, "little")
        return None if size > HEADER_MAX else json.loads(opened.read(size))
