"""The address of the Easel that is running here."""

from __future__ import annotations

from cli.addresses import http_address
from cli.entry import check_settings
from cli.up.lock import read_lock


def api_url(named: str | None) -> str:
    """Returns the URL that is named, else that of this home's API: the running one's, or as set."""
    if named:
        return http_address(named)
    settings = check_settings()
    running = read_lock(settings.home / "easel.lock")
    return running.api_url if running else settings.api_login_url
