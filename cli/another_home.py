"""What commands that are shown must say, when the data folder is not the usual one."""

from __future__ import annotations

import shlex

from core.settings import Settings


def api_option(settings: Settings, api_url: str) -> str:
    """Returns what to add to a client's command: it finds the usual home's API by itself."""
    return "" if _is_usual(settings) else f" --api {api_url}"


def home_option(settings: Settings) -> str:
    """Returns what to add to a command that works on the data folder."""
    return "" if _is_usual(settings) else f" --home {shlex.quote(str(settings.home))}"


def _is_usual(settings: Settings) -> bool:
    usual = Settings.model_fields["home"].get_default(call_default_factory=True)
    return bool(settings.home == usual)
