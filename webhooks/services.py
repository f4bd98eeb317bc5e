"""Easel's own services, which no event is ever sent to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from core.settings import DEFAULT_COMFY_URL, Settings
from store.workers import Registry
from webhooks.remembered import Remembered

WORKERS_S: Final = 1.0
"""Seconds for which the registered workers are remembered."""
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Service:
    """A service of Easel's by the host and port at which it is reached."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self | None:
        """Returns the service at a URL; None if the URL names none."""
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme.lower())
        except ValueError:
            return None
        if not parts.hostname or port is None:
            return None
        return cls(parts.hostname.rstrip("."), port)


Services = Callable[[], Awaitable[frozenset[Service]]]
"""Returns Easel's services as they are known now: workers, each with its ComfyUI, come and go."""


def services_of(settings: Settings) -> frozenset[Service]:
    """Returns the services that the settings name: the API, Prefect, ComfyUI."""
    listening = (
        Service(settings.api.host.lower(), settings.api.port),
        Service(settings.prefect.host.lower(), settings.prefect.port),
    )
    urls = (
        settings.api_url,
        settings.prefect_api_url,
        settings.prefect_ui_url,
        settings.comfy.url or DEFAULT_COMFY_URL,
    )
    return frozenset(listening) | services_at(urls)


def services_at(urls: Iterable[str]) -> frozenset[Service]:
    """Returns the services at these URLs."""
    return frozenset(found for found in map(Service.of, urls) if found is not None)


class OwnServices:
    """Easel's services: those of the settings, and the ComfyUI of each registered worker."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._of_settings = services_of(settings)
        self._workers = Remembered(registry.workers, WORKERS_S)

    async def __call__(self) -> frozenset[Service]:
        """Returns those known now. Raises StoreUnavailableError."""
        workers = await self._workers()
        return self._of_settings | services_at(worker.comfy_url for worker in workers)
