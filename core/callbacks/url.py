"""The URL of a receiver, checked without a look at the network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

CALLBACK_URL_MAX: Final = 2000
_PORTS: Final = {"http": 80, "https": 443}
_UNPRINTED: Final = re.compile(r"[\x00-\x20\x7f-\uffff\U00010000-\U0010ffff\\]")
_HOST: Final = re.compile(
    r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\]", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True)
class Receiver:
    """A receiver's URL in parts. ``target`` is what a request line names: path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def of(cls, url: str) -> Receiver:
        """Returns the parts of a URL. Raises ValueError for one that is not taken."""
        if len(url) > CALLBACK_URL_MAX:
            raise ValueError(f"may have {CALLBACK_URL_MAX} characters at most")
        if _UNPRINTED.search(url):
            raise ValueError(
                "must be written in ASCII without blanks: encode others as in %20, "
                "a host as in xn--bcher-kva.example"
            )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("is not a URL such as https://shop.example/easel") from None
        scheme = parts.scheme.lower()
        if scheme not in _PORTS:
            raise ValueError("must begin with http:// or https://")
        if "@" in parts.netloc:
            raise ValueError("must have no user name and password: everything is signed instead")
        if "#" in url:
            raise ValueError("must have no fragment (#…)")
        host = parts.hostname or ""
        written = f"[{host}]" if ":" in host else host
        if len(host) > 253 or not _HOST.fullmatch(written) or ".." in host or port == 0:
            raise ValueError("names no host such as shop.example")
        path = parts.path or "/"
        return cls(
            scheme,
            host,
            port if port is not None else _PORTS[scheme],
            f"{path}?{parts.query}" if parts.query else path,
        )

    @property
    def shown(self) -> str:
        """The host as documents show it, with the port if it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def _checked(url: str) -> str:
    Receiver.of(url)
    return url


CallbackUrl = Annotated[
    str,
    AfterValidator(_checked),
    Field(json_schema_extra={"format": "uri", "maxLength": CALLBACK_URL_MAX}),
]
