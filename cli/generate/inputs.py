"""What ``--set name=value`` says, as the workflow declares its inputs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from cli.client import ApiClient
from cli.console import BAD_USAGE, CommandError, console_on
from cli.uploads import Uploads, files_for, local_file
from core.batches.columns import COUNT, CellError, Columns, nested, read_number
from core.fields import SEED_MAX
from core.wording import nearest
from core.workflows.declaration import ROLES, Input, Workflow
from core.workflows.limits import BATCH_SIZE_MAX

FILES_MAX: Final = 10_000
"""The most files of a folder that is given for an input."""
_LEFT_SHOWN: Final = 5


@dataclass(frozen=True)
class Names:
    """The names of the inputs that the command itself fills in; None where there is none.

    ``at_once`` is how many pictures one generation can have, ``seed_max`` the largest seed.
    """

    prompt: str | None = "prompt"
    seed: str | None = "seed"
    batch_size: str | None = "batch_size"
    at_once: int = BATCH_SIZE_MAX
    seed_max: int = SEED_MAX


@dataclass(frozen=True)
class Settings:
    """What ``--set`` says: one row of values, or one for each of the ``files`` of a folder."""

    rows: tuple[dict[str, Any], ...] = ({},)
    files: tuple[Path, ...] = ()


class Inputs:
    """The inputs of one workflow, as a command line gives them. Raises CommandError."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._columns = Columns(workflow)

    @classmethod
    async def of(cls, client: ApiClient, name: str) -> Inputs:
        """Returns those of the workflow that the API has by this name."""
        document = await client.workflow(name)
        try:
            return cls(
                Workflow.model_validate({key: document[key] for key in ("name", "title", "inputs")})
            )
        except (KeyError, ValidationError) as error:
            raise CommandError(
                f"the workflow {name} has inputs that this version of Easel does not know."
            ) from error

    @property
    def names(self) -> Names:
        """The names by their roles."""
        roles = self._workflow.roles
        many = self._workflow.of_role("batch_size")
        most = 1 if many is None else int(many.maximum or BATCH_SIZE_MAX)
        seed = self._workflow.of_role("seed")
        seed_max = SEED_MAX if seed is None else seed.seed_max
        named = (roles.get("prompt"), roles.get("seed"), roles.get("batch_size"))
        return Names(*named, most, seed_max)

    def of_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the options say, which are named by roles, by the names of the inputs."""
        named: dict[str, Any] = {}
        for option, value in options.items():
            if option not in ROLES:
                named[option] = value
                continue
            name = self._workflow.roles.get(option)
            if name is None:
                raise CommandError(
                    f"the workflow {self._workflow.name} has no input for {option}; it has: "
                    f"{', '.join(one.name for one in self._workflow.inputs) or 'none'}.",
                    BAD_USAGE,
                )
            named[name] = value
        return named

    async def of_settings(self, client: ApiClient, settings: Sequence[str]) -> Settings:
        """Returns the values of ``name=value``; of a folder each of its files is a row."""
        uploads = Uploads(client)
        rows: list[dict[str, Any]] = [{}]
        files: list[Path] = []
        for name, text in self._pairs(settings).items():
            found, named = await self._values(uploads, name, text)
            if named and files:
                raise CommandError("only one input can be given a folder of files.", BAD_USAGE)
            files = files or named
            rows = [{**row, name: value} for row in rows for value in found]
        try:
            return Settings(tuple(nested(row, self._columns) for row in rows), tuple(files))
        except CellError as error:
            raise CommandError(f"{error}.", BAD_USAGE) from error

    async def _values(
        self, uploads: Uploads, name: str, text: str
    ) -> tuple[Sequence[Any], list[Path]]:
        """Returns the value of an input, or one for each file of a folder, and these files."""
        one = self._columns.input(name)
        if one is None:  # a field of the envelope
            return [self._value(name, text)], []
        path = local_file(text)
        if path is not None and one.is_upload:
            if not path.is_dir():
                return [await uploads.reference(path)], []
            files = await asyncio.to_thread(_files_of, one, name, path)
            return [await uploads.reference(file) for file in files], files
        if path is not None and one.items is not None and one.items.is_upload:
            return [[await uploads.reference(path)]], []
        value = loras_of(text) if _takes_loras(one) else None
        return [await _brought(uploads, one, value or self._value(name, text))], []

    def _pairs(self, settings: Sequence[str]) -> dict[str, str]:
        pairs: dict[str, str] = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            name = name.strip()
            if not equals:
                raise CommandError(f"--set {setting}: write it as name=value.", BAD_USAGE)
            if name in pairs:
                raise CommandError(f"--set {name} is given twice.", BAD_USAGE)
            if self._columns.reader(name) is None or name == COUNT:
                raise CommandError(f"{name}: {self._unknown(name)}.", BAD_USAGE)
            pairs[name] = text
        return pairs

    def _value(self, name: str, text: str) -> Any:
        read = self._columns.reader(name)
        assert read is not None  # others were refused
        try:
            return read(text)
        except CellError as error:
            raise CommandError(f"{name}: {error}.", BAD_USAGE) from error

    def _unknown(self, name: str) -> str:
        known = [each for each in self._columns.names if each != COUNT]
        parent = self._columns.input(name.rpartition(".")[0]) if "." in name else None
        if parent is not None and parent.fields:
            known = [one.name for one in parent.fields]
            name = name.rpartition(".")[2]
        near = nearest(name, known, "inputs")
        return f"the workflow {self._workflow.name} has no such input; {near}"


def _files_of(one: Input, name: str, folder: Path) -> list[Path]:
    """Returns the files of a folder that an input takes; the others are named on stderr."""
    files, left = files_for(one, folder)
    if left:
        shown = ", ".join(path.name for path in left[:_LEFT_SHOWN])
        more = f" and {len(left) - _LEFT_SHOWN} more" if len(left) > _LEFT_SHOWN else ""
        console_on(sys.stderr).print(f"Skipped, as {name} does not take it: {shown}{more}")
    if len(files) > FILES_MAX:
        said = f"{name}: {folder} has {len(files):,} files; {FILES_MAX:,} are taken at most."
        raise CommandError(said, BAD_USAGE)
    return files


async def _brought(uploads: Uploads, one: Input, value: Any) -> Any:
    """Returns an input's value with references in place of the local files that it names."""
    if one.items is not None and isinstance(value, list):
        return [await _brought(uploads, one.items, each) for each in value]
    if one.fields is not None and isinstance(value, dict):
        known = {each.name: each for each in one.fields}
        return {
            name: await _brought(uploads, known[name], each) if name in known else each
            for name, each in value.items()
        }
    file = local_file(value) if one.is_upload and isinstance(value, str) else None
    return value if file is None else await uploads.reference(file)


def _takes_loras(one: Input) -> bool:
    """Returns whether it is a list of LoRA files with their strengths."""
    fields = {} if one.items is None else {each.name: each for each in one.items.fields or ()}
    name, strength = fields.get("name"), fields.get("strength")
    return name is not None and name.folder == "loras" and strength is not None


def loras_of(text: str) -> list[dict[str, Any]] | None:
    """Returns what ``film.safetensors:0.8, grain.safetensors`` says; None for JSON."""
    if text.lstrip().startswith(("[", "{")):
        return None
    loras: list[dict[str, Any]] = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, colon, strength = part.rpartition(":")
        try:
            value = read_number(strength) if colon else None
        except CellError:  # a colon of the name
            value = None
        loras.append({"name": part} if value is None else {"name": name, "strength": value})
    return loras
