"""User names and passwords in URLs: used to log in, and shown nowhere."""

from __future__ import annotations

import base64
import re
from typing import Final
from urllib.parse import unquote, urlsplit

HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.ASCII)
"""A host's name, in lower case."""
_USERINFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")


def without_userinfo(text: str) -> str:
    """Returns the URL, or the text that contains URLs, without ``user:password@``.

    For all that is shown, logged or stored: the answers of the API are read by every client.
    """
    return _USERINFO.sub("", text)


def basic_authorization(url: str) -> str | None:
    """Returns the header for HTTP's basic authentication with the URL's ``user:password@``."""
    parts = urlsplit(url)
    if parts.username is None:
        return None
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(login.encode()).decode()}"
