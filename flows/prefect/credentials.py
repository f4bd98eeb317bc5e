"""What Easel's processes prove themselves with to a protected Prefect API.

Prefect's own variables and profiles set it: PREFECT_API_AUTH_STRING, PREFECT_API_KEY.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from prefect.settings import get_current_settings


@dataclass(frozen=True)
class Credentials:
    """The auth string of a Prefect server, or the key of Prefect Cloud."""

    auth_string: str | None = None
    api_key: str | None = None

    @classmethod
    def read(cls) -> Credentials:
        """Returns those of Prefect's current settings."""
        api = get_current_settings().api
        return cls(
            auth_string=api.auth_string.get_secret_value() if api.auth_string else None,
            api_key=api.key.get_secret_value() if api.key else None,
        )

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request that does not go through Prefect's client."""
        if self.auth_string:
            return {
                "Authorization": f"Basic {base64.b64encode(self.auth_string.encode()).decode()}"
            }
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
