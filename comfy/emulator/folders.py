"""The folders of a ComfyUI installation, and the names of files in them."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self


@dataclass(frozen=True)
class Folders:
    """Absolute paths for each type of file. `temp` is wiped at every start."""

    output: Path
    input: Path
    temp: Path

    @classmethod
    def beside(cls, output: Path) -> Self:
        """The folders for an output folder: `output`, `output-input`, `output-temp`."""
        root = output.absolute()
        input_, temp = (root.with_name(f"{root.name}-{kind}") for kind in ("input", "temp"))
        return cls(root, input_, temp)

    @property
    def user(self) -> Path:
        """What its page keeps for the user: `workflows/…`."""
        return self.output.with_name(f"{self.output.name}-user")

    @property
    def blueprints(self) -> Path:
        """Subgraphs for all, one JSON file each."""
        return self.output.with_name(f"{self.output.name}-blueprints")

    def make(self) -> None:
        """Create what lasts. Raises OSError."""
        for folder in (self.output, self.input):
            folder.mkdir(parents=True, exist_ok=True)

    def of_type(self, kind: str | None) -> Path | None:
        """The folder of a file type, None for an unknown type."""
        return {"output": self.output, "input": self.input, "temp": self.temp}.get(kind or "")

    def annotated(self, name: str) -> tuple[str, Path | None]:
        """Split ComfyUI's `name [temp]` notation; the folder is None without a note."""
        for kind in ("output", "input", "temp"):
            if name.endswith(f"[{kind}]"):
                return name[: -len(kind) - 3], self.of_type(kind)
        return name, None


class SavePath(NamedTuple):
    """The path of the next image of a prefix."""

    folder: Path
    name: str
    counter: int
    subfolder: str


def inside(folder: Path, path: Path) -> bool:
    """Whether `path` stays in `folder` once `..` is resolved."""
    root = os.path.normpath(folder)
    return os.path.commonpath((root, os.path.normpath(path))) == root


def save_path(root: Path, prefix: str, width: int, height: int) -> SavePath:
    """ComfyUI's naming rule: the highest number of that prefix in that folder plus one.

    Raises a plain Exception for a prefix that leaves `root`, in ComfyUI's words.
    """
    normal = os.path.normpath(_expanded(prefix, width, height))
    subfolder, name = os.path.split(normal)
    folder = root / subfolder
    if not inside(root, folder):
        full = os.path.normpath(folder)
        common = os.path.commonpath((root, full))
        raise Exception(  # noqa: TRY002 - the type is part of what clients see
            "**** ERROR: Saving image outside the output folder is not allowed."
            f"\n full_output_folder: {full}"
            f"\n         output_dir: {root}\n         commonpath: {common}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return SavePath(folder, name, _highest(folder, name) + 1, subfolder)


def _highest(folder: Path, name: str) -> int:
    highest = 0
    for entry in os.scandir(folder):
        if entry.name.startswith(f"{name}_"):
            digits = entry.name[len(name) + 1 :].split("_")[0]
            if digits.isdecimal():
                highest = max(highest, int(digits))
    return highest


def _expanded(prefix: str, width: int, height: int) -> str:
    if "%" not in prefix:
        return prefix
    now = time.localtime()
    values = {
        "width": str(width),
        "height": str(height),
        "year": str(now.tm_year),
        "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}",
        "hour": f"{now.tm_hour:02}",
        "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }
    for token, value in values.items():
        prefix = prefix.replace(f"%{token}%", value)
    return prefix
