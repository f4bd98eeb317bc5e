"""Which certificates of receivers are trusted."""

from __future__ import annotations

import ssl
from pathlib import Path


def trust(ca_file: Path | None = None) -> ssl.SSLContext:
    """Returns what is trusted: the system's store, or what ``SSL_CERT_FILE`` names, and a file.

    Raises OSError (ssl.SSLError) for a file that is not there or no PEM.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context
