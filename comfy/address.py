"""Where a ComfyUI is: its URL without a password, how to log in, and whom to trust."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from core.urls import basic_authorization, without_userinfo


@dataclass(frozen=True)
class Address:
    """A ComfyUI's address. ``url`` has no user name and no password, and may be shown.

    ``ca_file`` holds certificates (PEM) that are trusted beside those of the system.
    """

    url: str
    ca_file: Path | None = None
    authorization: str | None = field(default=None, repr=False)
    """The header of that name: HTTP's basic authentication."""

    @classmethod
    def of(cls, url: str, ca_file: Path | None = None) -> Self:
        """Returns the address that a URL names; it may begin with ``user:password@``."""
        return cls(without_userinfo(url).rstrip("/"), ca_file, basic_authorization(url))

    @property
    def uses_tls(self) -> bool:
        """Whether connections to it are encrypted."""
        return self.url.startswith("https:")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request to it."""
        return {} if self.authorization is None else {"Authorization": self.authorization}

    @property
    def websocket_url(self) -> str:
        """The URL of its websocket."""
        return f"ws{self.url.removeprefix('http')}/ws"

    def tls(self) -> ssl.SSLContext:
        """Returns what HTTP and the websocket trust.

        That is the system's store, or what ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name instead,
        and ``ca_file``. Raises OSError (ssl.SSLError) for a file that is not there or no PEM.
        """
        if not self.uses_tls:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; costs nothing
        context = ssl.create_default_context()
        if self.ca_file is not None:
            context.load_verify_locations(cafile=self.ca_file)
        return context
