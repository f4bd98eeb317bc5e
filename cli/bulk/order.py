"""The input of ``easel bulk``: a file and options, and the request made from them."""

from __future__ import annotations

import hashlib
import json
import uuid
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from cli.batch_body import BatchBody
from cli.console import BAD_USAGE, CommandError
from core import json as strict_json
from core.batches.manifest import guess_kind, name_of_file

ManifestKind = Literal["csv", "jsonl", "json"]

_CONTENT_TYPES: Final[dict[ManifestKind, str]] = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "json": "application/json",
}
_DECIDING: Final = frozenset({"workflow", "name", "count", "seed", "vary_seed", "wildcards"})
"""Options that decide what is made; the others only decide how."""


@dataclass(frozen=True)
class BatchOrder:
    """What the command line asks for. ``options`` are those given, by their names in the API."""

    file: Path
    options: Mapping[str, Any]
    skip_bad: bool = False
    again: bool = False

    @property
    def kind(self) -> ManifestKind:
        """Returns the kind by the file's name. Raises CommandError."""
        if self.file.suffix.lower() == ".json":
            return "json"
        kind = guess_kind(self.file.name)
        if kind is None:
            raise CommandError(
                f"{self.file} must end in .csv, .jsonl, .ndjson or .json.", BAD_USAGE
            )
        return kind

    def body(self) -> BatchBody:
        """Read the file. Returns the request. CommandError when the file cannot be read."""
        try:
            return self._file_body() if self.kind != "json" else self._json_body()
        except OSError as error:
            raise CommandError(
                f"{self.file} cannot be read ({error.strerror or error}).", BAD_USAGE
            ) from error

    def _file_body(self) -> BatchBody:
        with self.file.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        options = {"name": self._default_name(), **self.options}
        query = {**{name: _written(options[name]) for name in sorted(options)}, **self._flags()}
        key = self._key(sha256, options)
        return BatchBody(self.file, sha256, _CONTENT_TYPES[self.kind], query, key)

    def _json_body(self) -> BatchBody:
        data = self.file.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        request = {"name": self._default_name(), **_request(self.file, data), **self.options}
        merged = json.dumps(request, ensure_ascii=False, sort_keys=True).encode()
        key = self._key(sha256, {"name": request["name"], **self.options})
        return BatchBody(self.file, sha256, _CONTENT_TYPES["json"], self._flags(), key, merged)

    def _default_name(self) -> str:
        """Returns the file's name without its extension, as valid UTF-8."""
        return name_of_file(self.file.name) or "batch"

    def _flags(self) -> dict[str, str]:
        return {"skip_bad": "true"} if self.skip_bad else {}

    def _key(self, sha256: str, options: Mapping[str, Any]) -> str:
        """Returns the same key for the same pictures; a new one each time with ``again``."""
        if self.again:
            return f"bulk-{uuid.uuid4().hex}"
        deciding = {name: value for name, value in options.items() if name in _DECIDING}
        said = [sha256, self.kind, deciding, self.skip_bad]
        return f"bulk-{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()}"


def _written(value: Any) -> str:
    """Returns an option as a query parameter."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _request(file: Path, data: bytes) -> dict[str, Any]:
    try:
        value = strict_json.parse(data.removeprefix(BOM_UTF8), "the file")  # Notepad writes one
    except (strict_json.MalformedJsonError, strict_json.UnusableJsonError) as error:
        raise CommandError(f"{file} cannot be used: {error}.", BAD_USAGE) from error
    if not isinstance(value, dict):
        raise CommandError(f"{file} must hold one JSON object, a batch's request.", BAD_USAGE)
    return value
