"""The node catalogues that were recorded from real servers, see `recording`."""

import gzip
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from .release import Release

CATALOGUES = Path(__file__).with_name("catalogues")
VERSIONS = ("0.3.64", "0.24", "0.33")
"""The recorded versions, oldest first."""


def recorded(release: Release) -> dict[str, Any]:
    """The catalogue of the newest recorded version that is no newer than this release (the oldest,
    if there is none), as the body of GET /object_info. Shared: not to be changed."""
    known = [name for name in VERSIONS if Release.of(name).version <= release.version]
    return _read((known or VERSIONS)[-1 if known else 0])


@lru_cache(maxsize=len(VERSIONS))
def _read(name: str) -> dict[str, Any]:
    content = gzip.decompress((CATALOGUES / f"{name}.json.gz").read_bytes())
    info: dict[str, Any] = json.loads(content)
    return info
