"""Model files of a ComfyUI whose folders are on this machine: their headers, read in place.

ComfyUI says where its folders are. That it says so is no proof: a path may mean another folder on
this machine, a name may lead out of it. Links are followed: they are this machine's own, and many
people keep their models elsewhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from comfy.families.header import Header, HeaderError
from comfy.families.headers import read_header
from comfy.model_files import ListedFile


def is_here(places: Sequence[str]) -> bool:
    """Whether any of a folder's places is one on this machine. Reads from the disk."""
    return any(_folder(place) is not None for place in places)


def measured(listed: ListedFile, places: Sequence[str]) -> ListedFile:
    """Returns a file with its size and time, also where ComfyUI says its name only.

    Reads from the disk.
    """
    if listed.size is not None:
        return listed
    found = _found(listed, places)
    if found is None:
        return listed
    place, _, about = found
    return ListedFile(listed.name, place, about.st_size, about.st_mtime)


def header_here(listed: ListedFile, places: Sequence[str]) -> Header | None:
    """Returns the header of a file, None unless it can be read on this machine.

    Only a regular file, or a link to one, whose name does not lead out of its folder's places, and
    of the size that ComfyUI says. Reads from the disk.
    """
    found = _found(listed, places)
    if found is None:
        return None
    _, path, _ = found
    try:
        return read_header(path)
    except HeaderError:
        return None


def _found(listed: ListedFile, places: Sequence[str]) -> tuple[int, Path, os.stat_result] | None:
    """Returns the index of the file's place, its path, and what the system says of it."""
    for index, place in enumerate(places):
        folder = _folder(place)
        if folder is None or listed.place not in (None, index):
            continue
        try:
            path = Path(os.path.normpath(folder / listed.name))
            about = path.stat()
        except (OSError, ValueError):
            continue
        if not path.is_relative_to(folder) or not stat.S_ISREG(about.st_mode):
            continue
        if listed.size in (None, about.st_size):
            return index, path, about
    return None


def _folder(place: str) -> Path | None:
    """Returns the real path of a folder of this machine."""
    try:
        folder = Path(place)
        return folder.resolve(strict=True) if folder.is_absolute() and folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        return None
