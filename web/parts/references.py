"""References to files, ``upload:<id>`` and ``artefact:<id>``, as the pages show them."""

from __future__ import annotations

import re
from typing import Any, Final

from api.uploads.documents import URL
from core.uploads import Reference


def file_url(reference: Any) -> str | None:
    """Returns where the file of a reference is; None for anything else."""
    found = Reference.parse(reference)
    if found is None:
        return None
    return f"{URL}/{found.id}" if found.source == "upload" else f"/api/v1/artefacts/{found.id}"


def thumb_url(reference: Any) -> str | None:
    """Returns where a small picture of the file is; None for what is no reference."""
    url, found = file_url(reference), Reference.parse(reference)
    is_made = found is not None and found.source == "artefact"
    return f"{url}/poster" if is_made else url


_REFERENCE: Final = re.compile(r"upload:[0-9a-f]{64}|artefact:[0-9a-f-]{36}")


def pictured(label: str) -> tuple[str, list[str]]:
    """Returns a label without the references in it, and small pictures of what these mean."""
    found = [url for one in _REFERENCE.findall(label) if (url := thumb_url(one)) is not None]
    if not found:
        return label, []
    parts = (part.strip() for part in _REFERENCE.sub("", label).split(","))
    return ", ".join(filter(None, parts)), found
