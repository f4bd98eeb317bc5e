"""A node catalogue as compressed bytes, for a database."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from typing import Final

from comfy.nodes.catalogue import NodeCatalogue

_JSON_MAX: Final = 100_000_000


def packed(catalogue: NodeCatalogue) -> tuple[bytes, str]:
    """Returns the catalogue and the digest of what it says. Takes a moment: call it in a thread."""
    told = json.dumps(catalogue.to_json(), separators=(",", ":")).encode()
    return gzip.compress(told, 6, mtime=0), hashlib.sha256(told).hexdigest()


def unpacked(data: bytes) -> NodeCatalogue:
    """The reverse of ``packed``. What cannot be read has no classes; nothing is raised."""
    reader = zlib.decompressobj(wbits=31)
    try:
        told = reader.decompress(data, _JSON_MAX)
        return NodeCatalogue.from_json(json.loads(told))
    except (zlib.error, ValueError, RecursionError):
        return NodeCatalogue()
