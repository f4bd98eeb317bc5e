"""What ``--set name=value`` says, as the workflow declares its inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from cli.client import ApiClient
from cli.console import BAD_USAGE, CommandError
from cli.uploads import Uploads, files_in, local_file
from core.batches.columns import COUNT, CellError, Columns, nested
from core.fields import SEED_MAX
from core.wording import nearest
from core.workflows.declaration import ROLES, Workflow
from core.workflows.limits import BATCH_SIZE_MAX

FILES_MAX: Final = 1000
"""The most files of a folder that is given for an input."""


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

    async def of_settings(self, client: ApiClient, settings: Sequence[str]) -> list[dict[str, Any]]:
        """Returns the values of ``name=value``; once for each file where a folder is given."""
        uploads = Uploads(client)
        made: list[dict[str, Any]] = [{}]
        for name, text in self._pairs(settings).items():
            one = self._columns.input(name)
            file = local_file(text) if one is not None and one.is_upload else None
            if file is not None:
                found = await _uploaded(uploads, name, file)
            else:
                found = [self._value(name, text)]
            if len(found) > 1 and len(made) > 1:
                raise CommandError("only one input can be given a folder of files.", BAD_USAGE)
            made = [{**values, name: value} for values in made for value in found]
        try:
            return [nested(values, self._columns) for values in made]
        except CellError as error:
            raise CommandError(f"{error}.", BAD_USAGE) from error

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


async def _uploaded(uploads: Uploads, name: str, path: Path) -> list[str]:
    """Bring a file, or each file of a folder. Returns the values that refer to them."""
    files = await asyncio.to_thread(_files, path)
    if len(files) > FILES_MAX:
        said = f"{name}: {path} has {len(files):,} files; {FILES_MAX:,} are taken at most."
        raise CommandError(said, BAD_USAGE)
    return [await uploads.reference(file) for file in files]


def _files(path: Path) -> list[Path]:
    return files_in(path) if path.is_dir() else [path]
