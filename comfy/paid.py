"""Access to paid services: what a prompt that calls one needs, and what must not be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr

KEY_NAME: Final = "api_key_comfy_org"
"""Where ComfyUI looks for the key in a prompt's ``extra_data``."""
_HIDDEN: Final = b"(key)"


@dataclass(frozen=True)
class PaidServices:
    """Paid services may be called, with this key. Without one ComfyUI's nodes say what they miss.

    The key is as ``core.keys`` checks it: it looks the same in every JSON.
    """

    key: SecretStr | None = None

    @property
    def extra_data(self) -> dict[str, Any]:
        """What goes with a prompt that calls one."""
        return {} if self.key is None else {KEY_NAME: self.key.get_secret_value()}


class Hiding:
    """Takes a key out of what ComfyUI says, before anything else sees that."""

    def __init__(self, key: SecretStr | None = None) -> None:
        self._key = b"" if key is None else key.get_secret_value().encode()

    def __call__(self, said: bytes) -> bytes:
        """Returns the bytes without the key."""
        return said.replace(self._key, _HIDDEN) if self._key else said

    def text(self, said: str) -> str:
        """Returns the text without the key."""
        return said.replace(self._key.decode(), _HIDDEN.decode()) if self._key else said
