"""Addresses that options name, and Easel's own."""

from __future__ import annotations

from cli.console import BAD_USAGE, CommandError
from cli.entry import check_settings, check_texts


def http_address(text: str) -> str:
    """Returns an HTTP URL; host and port are enough."""
    from urllib.parse import urlsplit

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


def api_url(named: str | None) -> str:
    """Returns the URL that is named, else that of this home's API: the running one's, or as set."""
    if named:
        return http_address(named)
    from cli.up.lock import read_lock

    settings = check_settings()
    running = read_lock(settings.home / "easel.lock")
    return running.api_url if running else settings.api_login_url
