"""The parts of a running Easel: what each is started with and how it is known to be ready."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from cli.up.logs import PartLog
from core.settings import Settings
from core.urls import without_userinfo

PAID_KEY: Final = "EASEL_COMFY__PAID_KEY"
"""What no other part than the worker is given."""
Ready = Callable[[httpx.AsyncClient], Awaitable[bool]]


@dataclass(frozen=True)
class Part:
    """One process. ``grace_s`` is how long it may take to stop."""

    name: str
    title: str
    address: str
    module: str
    arguments: tuple[str, ...]
    is_ready: Ready
    log: PartLog
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    grace_s: float = 6.0

    @property
    def command(self) -> list[str]:
        """The command line. ``-P``: a folder with a ``comfy`` package must not be imported from."""
        return [sys.executable, "-P", "-m", "cli.up.tether", self.module, *self.arguments]


STOP_WAVES: Final = (("worker", "api"), ("emulator", "prefect"))
"""The order of stopping: parts that use others go first."""


def parts_of(settings: Settings, emulator: tuple[str, ...] | None) -> list[Part]:
    """The parts to start, the slowest first. ``emulator``: its arguments, None for no emulator."""
    parts = [] if settings.prefect.api_url else [_prefect(settings)]
    parts += [_api(settings), _worker(settings)]
    return parts if emulator is None else [*parts, _emulator(settings, emulator)]


def _prefect(settings: Settings) -> Part:
    return Part(
        name="prefect",
        title="Prefect server",
        address=settings.prefect_ui_url,
        module="flows.prefect.server",
        arguments=("--host", settings.prefect.host, "--port", str(settings.prefect.port)),
        is_ready=_answers(f"{settings.prefect_api_url}/health"),
        log=_log(settings, "prefect"),
    )


def _api(settings: Settings) -> Part:
    return Part(
        name="api",
        title="API",
        address=settings.api_url,
        module="cli.main",
        arguments=("api",),
        is_ready=_answers(f"{local_api_url(settings)}/healthz"),
        log=_log(settings, "api"),
    )


def _worker(settings: Settings) -> Part:
    async def is_ready(http: httpx.AsyncClient) -> bool:
        parts = await _readiness(http, settings)
        return any(part["name"] == "worker" and part["ok"] for part in parts)

    return Part(
        name="worker",
        title="worker",
        address=f"for {without_userinfo(settings.comfy.url or '')}",
        module="cli.main",
        arguments=("worker",),
        environment={PAID_KEY: key.get_secret_value()} if (key := settings.comfy.paid_key) else {},
        is_ready=is_ready,
        log=_log(settings, "worker"),
        grace_s=settings.worker.drain_s + 6,
    )


def _emulator(settings: Settings, arguments: tuple[str, ...]) -> Part:
    return Part(
        name="emulator",
        title="ComfyUI emulator",
        address=settings.comfy.url or "",
        module="comfy.emulator",
        arguments=arguments,
        is_ready=_answers(f"{settings.comfy.url}/system_stats"),
        log=_log(settings, "emulator"),
    )


def local_api_url(settings: Settings) -> str:
    """The API's own address, whatever its public one is."""
    private = settings.api.model_copy(update={"public_url": None})
    return settings.model_copy(update={"api": private}).api_url


def _log(settings: Settings, name: str) -> PartLog:
    return PartLog(settings.home / "logs" / f"{name}.log")


def _answers(url: str) -> Ready:
    async def is_ready(http: httpx.AsyncClient) -> bool:
        try:
            return (await http.get(url)).is_success
        except httpx.HTTPError:
            return False

    return is_ready


async def _readiness(http: httpx.AsyncClient, settings: Settings) -> list[dict[str, Any]]:
    try:
        parts: list[dict[str, Any]] = (await http.get(f"{local_api_url(settings)}/readyz")).json()[
            "parts"
        ]
    except (httpx.HTTPError, ValueError, KeyError):
        return []
    return parts
