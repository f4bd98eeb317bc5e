"""Local files as inputs: each is sent to Easel once, however often a command names it."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from cli.client import ApiClient, ApiRefusedError
from cli.console import BAD_USAGE, CommandError
from core.artefacts import HEAD_BYTES
from core.uploads import Reference, takes, upload_type
from core.workflows.declaration import Input

MARK: Final = "@"
"""Begins a value that names a local file: ``--set image=@fox.png``."""
_READ_TOGETHER: Final = 1_048_576
_NUMBERS: Final = re.compile(r"([0-9]{1,18})")


def local_file(value: str) -> Path | None:
    """Returns the file (or folder) that a value of the command line names, None for any other."""
    named = value.removeprefix(MARK)
    return Path(named).expanduser() if named != value and named else None


def files_in(folder: Path) -> list[Path]:
    """Returns the files of a folder by name, without hidden ones and those in folders below.

    Numbers in names are in their own order: 2 comes before 10. Raises CommandError when there are
    none.
    """
    try:
        found = sorted((path for path in folder.iterdir() if _is_shown(path)), key=_natural)
    except OSError as error:
        raise _unreadable(folder, error) from error
    if not found:
        raise CommandError(f"there are no files in the folder {folder}", BAD_USAGE)
    return found


def files_for(one: Input, folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the files of a folder that an input may take, and those that it does not.

    Raises CommandError when it takes none of them.
    """
    taken: list[Path] = []
    left: list[Path] = []
    for path in files_in(folder):
        try:
            (taken if _is_for(one, path) else left).append(path)
        except OSError as error:
            raise _unreadable(path, error) from error
    if not taken:
        kind = "image" if one.type == "mask" else one.type
        raise CommandError(f"none of the files in {folder} is of the kind {kind}", BAD_USAGE)
    return taken, left


def _is_for(one: Input, path: Path) -> bool:
    with path.open("rb") as file:
        found = upload_type(file.read(HEAD_BYTES), path.name)
    return found is not None and takes(one.type, found.kind)


def _is_shown(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Returns what sorts a name as people do: its numbers by their values."""
    parts = _NUMBERS.split(path.name.casefold())
    return [(int(part), "") if at % 2 else (0, part) for at, part in enumerate(parts)], path.name


class Uploads:
    """Sends local files, those that Easel does not have yet.

    Every method raises CommandError for a file that cannot be read or is not taken, and
    ApiUnreachableError.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._sent: dict[Path, asyncio.Task[str]] = {}

    async def reference(self, file: Path) -> str:
        """Returns what an input says to take the file: ``upload:<id>``."""
        sending = self._sent.get(file)
        if sending is None:
            sending = self._sent[file] = asyncio.create_task(self._send(file))
        return await asyncio.shield(sending)

    async def cell(self, text: str, folder: Path) -> str:
        """Returns the same for the value of an upload input in a file of rows.

        It is a reference, or names a file below ``folder``, where the file of rows lies; an ``@``
        before the name is allowed.
        """
        if not text or Reference.parse(text) is not None:
            return text
        return await self.reference(folder / (local_file(text) or Path(text)))

    async def _send(self, file: Path) -> str:
        try:
            upload_id = await asyncio.to_thread(_sha256, file)
            if not await self._client.has_upload(upload_id):
                upload_id = await self._client.upload(_pieces(file), file.name)
        except OSError as error:
            raise _unreadable(file, error) from error
        except ApiRefusedError as error:
            raise CommandError(f"{file} is not taken: {error}", BAD_USAGE) from error
        return str(Reference.to_upload(upload_id))


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(_READ_TOGETHER):
            digest.update(piece)
    return digest.hexdigest()


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(file.open, "rb") as opened:
        while piece := await asyncio.to_thread(opened.read, _READ_TOGETHER):
            yield piece


def _unreadable(path: Path, error: OSError) -> CommandError:
    return CommandError(f"{path} cannot be read: {error.strerror or error}", BAD_USAGE)


__all__ = ["MARK", "Uploads", "files_for", "files_in", "local_file"]
