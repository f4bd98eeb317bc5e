"""What browsers may do with the API's responses: JSON, pictures, ZIP files, documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.response_headers import UNFRAMED

# A response that is opened as a document, whatever a client sent as its bytes, may run nothing,
# load nothing, and is in an origin of its own. ``<img>`` and downloads are not affected.
_DATA_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"
# Swagger UI: its start is an inline script, its styles are inline, its icons are data URLs.
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_COMMON: Final = {**UNFRAMED, "Referrer-Policy": "same-origin"}
DATA_HEADERS: Final[Mapping[str, str]] = {**_COMMON, "Content-Security-Policy": _DATA_POLICY}
_DOCS_HEADERS: Final = {**_COMMON, "Content-Security-Policy": _DOCS_POLICY}
# Documents contain prompts; no cache on the way or on the disk keeps them.
JSON_HEADERS: Final[Mapping[str, str]] = {**DATA_HEADERS, "Cache-Control": "no-store"}
_JSON: Final = frozenset({"application/json", "application/problem+json"})


def headers_for(content_type: str) -> Mapping[str, str]:
    """Returns the headers of a response that sets none of them itself."""
    if content_type in _JSON:
        return JSON_HEADERS
    return _DOCS_HEADERS if content_type == "text/html" else DATA_HEADERS
