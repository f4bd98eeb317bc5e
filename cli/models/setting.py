"""``easel models set``: what the owner says of a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.console import BAD_USAGE, OK, CommandError, console_on
from cli.models.listing import known_by
from cli.workflows.asking import asking
from core.wording import nearest


@dataclass(frozen=True)
class Wanted:
    """What is to be said of a file; what is not given stays, unless all is taken back."""

    name: str
    folder: str | None = None
    family: str | None = None
    text_encoders: tuple[str, ...] = ()
    vae: str | None = None
    unset: bool = False

    @property
    def given(self) -> dict[str, Any]:
        """The part of a setting that is given."""
        found: dict[str, Any] = {"family": self.family, "vae": self.vae}
        found["text_encoders"] = list(self.text_encoders) or None
        return {name: value for name, value in found.items() if value is not None}


async def set_model(url: str, wanted: Wanted, *, as_json: bool) -> int:
    """Keep what is said of a file. Returns the exit code. Raises CommandError."""
    if wanted.unset and wanted.given:
        raise CommandError("--unset takes everything back: give no other option.", BAD_USAGE)
    if not wanted.unset and not wanted.given:
        raise CommandError(
            "say what the file is with --family, --text-encoder or --vae, or take it back with "
            "--unset.",
            BAD_USAGE,
        )
    async with asking(url) as client:
        now = _chosen(await client.models(wanted.folder), wanted)
        body = {} if wanted.unset else {**(now["setting"] or {}), **wanted.given}
        found = await client.set_model(now["folder"], now["name"], body)
    out = console_on(sys.stdout)
    if as_json:
        out.print(json.dumps(found, indent=2))
        return OK
    for line in _told(found):
        out.print(line)
    return OK


def _chosen(files: Sequence[Mapping[str, Any]], wanted: Wanted) -> Mapping[str, Any]:
    """Returns the file that is meant. Raises CommandError unless it is one."""
    found = [one for one in files if one["name"] == wanted.name]
    if len(found) == 1:
        return found[0]
    if found:
        folders = ", ".join(one["folder"] for one in found)
        raise CommandError(
            f"there is a {wanted.name} in {folders}: say which with --folder.", BAD_USAGE
        )
    near = nearest(wanted.name, [one["name"] for one in files], "model files")
    raise CommandError(f"ComfyUI has no model file {wanted.name}; {near}.", BAD_USAGE)


def _told(found: Mapping[str, Any]) -> list[str]:
    family = found["family_title"] or found["family"]
    said = f"of the family {family}, by {known_by(found)}" if family else "of no known family"
    lines = [f"{found['name']} is {said}."]
    setting = found["setting"] or {}
    if setting.get("text_encoders"):
        lines.append(f"Text encoders: {', '.join(setting['text_encoders'])}")
    if setting.get("vae"):
        lines.append(f"VAE: {setting['vae']}")
    return lines
