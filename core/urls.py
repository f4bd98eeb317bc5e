"""URLs without the user names and passwords in them."""

from __future__ import annotations

import re
from typing import Final

_USERINFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")


def without_userinfo(text: str) -> str:
    """Returns the URL, or the text that contains URLs, without ``user:password@``.

    For all that is shown, logged or stored: the answers of the API are read by every client.
    """
    return _USERINFO.sub("", text)
