"""Addresses that options name."""

from __future__ import annotations

from urllib.parse import urlsplit

from cli.console import BAD_USAGE, CommandError
from cli.entry import check_texts


def http_address(text: str) -> str:
    """Returns an HTTP URL; host and port are enough."""
    check_texts({"address": text})
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise CommandError(
            # A password may hold what ends a host name, so all before the last @ may be one.
            f"{text.rpartition('@')[2]} is not an HTTP address such as http://127.0.0.1:8188.",
            BAD_USAGE,
        )
    return url.rstrip("/")
