"""What `easel up` checks before it starts anything."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import BAD_USAGE, CommandError
from cli.up.ports import holder, is_free
from comfy.address import Address
from core.settings import Settings

if TYPE_CHECKING:
    from comfy import SystemStats


@dataclass(frozen=True)
class Listener:
    """A port that a part wants, and how to choose another."""

    title: str
    host: str
    port: int
    option: str
    variable: str
    host_option: str = "--host"


def api_listener(settings: Settings) -> Listener:
    """Returns where the API will listen."""
    return Listener("API", settings.api.host, settings.api.port, "--port", "EASEL_API__PORT")


def check_home(home: Path) -> None:
    """Create the data folder. CommandError when it is not writable."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise CommandError(
            f"the data folder {home} cannot be written ({error.strerror or error}). "
            "Choose another one with --home DIR (or EASEL_HOME), or correct its permissions."
        ) from error


def check_ports(listeners: Sequence[Listener]) -> None:
    """Raises CommandError for a taken port, with its process and the option to change it."""
    for listener in listeners:
        _check_port(listener)
    if len({listener.port for listener in listeners}) < len(listeners):
        options = " and ".join(listener.option for listener in listeners)
        raise CommandError(f"{options} must name different ports.", BAD_USAGE)


def _check_port(listener: Listener) -> None:
    host, port = listener.host, listener.port
    try:
        if is_free(host, port):
            return
    except (OSError, OverflowError) as error:
        raise CommandError(
            f"the {listener.title} cannot listen on {host}:{port} ({error}). "
            f"Name an address of this machine with {listener.host_option}, and a port from 1 to "
            "65535.",
            BAD_USAGE,
        ) from error
    who = holder(port)
    by = f"taken by {who}" if who else f"taken (`lsof -i :{port}` says by whom)"
    raise CommandError(
        f"port {port} for the {listener.title} is {by}. End that program, or choose another port "
        f"with {listener.option} N (or {listener.variable})."
    )


async def comfy_problem(address: Address) -> str | None:
    """Returns why ComfyUI cannot be used now, as a clause; None when it can."""
    from comfy import TransientComfyError
    from comfy.versions import too_old

    try:
        stats = await _system_stats(address)
    except (TransientComfyError, TimeoutError) as error:
        why = str(error) or "it did not answer in time"
        return f"ComfyUI at {address.url} isn't answering ({why})"
    why_not = too_old(stats.version)
    return None if why_not is None else f"At {address.url}: {why_not}"


async def has_gpu(address: Address) -> bool:
    """Returns whether ComfyUI computes on more than a CPU; the emulator needs nothing else."""
    from comfy import TransientComfyError

    try:
        stats = await _system_stats(address)
    except (TransientComfyError, TimeoutError):
        return True  # it answered a moment ago, so it is busy: no reason to suppose that
    return stats.is_emulator or any(device.type != "cpu" for device in stats.devices)


async def _system_stats(address: Address) -> SystemStats:
    from comfy import ComfyClient

    client = ComfyClient(address, timeout_s=5)
    try:
        async with asyncio.timeout(6):
            return await client.system_stats()
    finally:
        await client.aclose()
