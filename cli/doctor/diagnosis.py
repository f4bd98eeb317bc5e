"""The single checks of `easel doctor`."""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from api.disk import look
from cli.client import login_words
from cli.console import CommandError
from cli.opened_store import store_is_missing
from cli.up.checks import check_home
from core.settings import Settings
from core.urls import basic_authorization, without_userinfo
from store.errors import ArtefactStoreError, NewerStoreError, StoreError
from store.values import WorkerRecord, foreign_runs

if TYPE_CHECKING:
    from comfy import Device
    from comfy.address import Address
    from store.database import Database

_START: Final = "Start everything with `easel up`."


@dataclass(frozen=True)
class Finding:
    """One check: whether it passed, what was found, and what to do."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


def python() -> Finding:
    """The interpreter."""
    return Finding("Python", sys.version_info >= (3, 11), platform.python_version())


def home(folder: Path) -> Finding:
    """The data folder."""
    try:
        check_home(folder)
    except CommandError as error:
        return Finding("data folder", False, str(folder), str(error))
    return Finding("data folder", True, str(folder))


def disk(settings: Settings) -> Finding:
    """The room for pictures and rows: with too little, the API refuses creates."""
    room = look(settings.local_folders, settings.store.reserve_mb)
    if room is None:
        return Finding("disk", True, "its free space is not known")
    if room.is_enough:
        return Finding("disk", True, f"{room.free / 1e9:.1f} GB free for {room.folder}")
    return Finding(
        "disk", False, f"{room.folder}: {room}", "Free space, or move the folder with EASEL_HOME."
    )


async def storage(settings: Settings) -> list[Finding]:
    """The object store of the pictures; a local folder is on a disk that is checked already."""
    if "://" not in settings.images_url:
        return []
    from obstore.exceptions import BaseError

    from store.artefacts.files import ArtefactFiles

    advice = "Check EASEL_STORE__IMAGES_URL, and that Easel may list, read and write there."
    try:
        files = ArtefactFiles(settings.images_url)
        await files.look()
    except (ArtefactStoreError, BaseError, ValueError) as error:
        return [Finding("storage", False, str(error), advice)]
    return [Finding("storage", True, str(files.remote))]


async def store(settings: Settings) -> tuple[Finding, list[WorkerRecord]]:
    """Check the database, without migrating it. Returns the live workers too."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError

    try:
        url = make_url(settings.store_url)
    except ArgumentError as error:
        return Finding("store", False, str(error), "Correct EASEL_STORE__URL."), []
    shown = url.render_as_string(hide_password=True)
    if store_is_missing(url):
        return Finding("store", True, f"{shown}: not there yet", "`easel up` creates it."), []
    try:
        return await _opened(settings.store_url, shown)
    except (StoreError, DBAPIError, OSError) as error:
        advice = "Check EASEL_STORE__URL, and that its database is running."
        return Finding("store", False, f"{shown}: {error}", advice), []


async def _opened(url: str, shown: str) -> tuple[Finding, list[WorkerRecord]]:
    from store.database import Database
    from store.migrate import NEWEST, confirm_known, revision

    async with Database(url) as database:
        current = await revision(database)
        try:
            confirm_known(current)
        except NewerStoreError as error:
            return Finding("store", False, shown, f"{error}."), []
        if current != NEWEST:
            found = f"{shown}: at migration {current or 'none'}, newest is {NEWEST}"
            return Finding("store", True, found, "`easel up` brings it up to date."), []
        return Finding("store", True, f"{shown}, migration {current}"), await _live(database)


async def _live(database: Database) -> list[WorkerRecord]:
    """Returns the workers that live. One whose clock differs must be watched for a moment."""
    from store.leases import RENEWALS, Leases, LeaseWatch
    from store.workers import Registry, is_live

    leases, watch = Leases(database), LeaseWatch(look_every_s=float("inf"))
    workers = await Registry(database).workers()
    found = await leases.all()
    watch.look(found)
    live = [one for one in workers if is_live(one, watch, datetime.now(UTC))]
    silent = {one.holder for one in workers if one not in live}
    pauses = [lease.length_s / RENEWALS for lease in found if lease.holder in silent]
    if not pauses:
        return live
    await asyncio.sleep(2 * max(pauses))
    watch.look(await leases.all())
    return [one for one in workers if is_live(one, watch, datetime.now(UTC))]


async def prefect(http: httpx.AsyncClient, api_url: str) -> Finding:
    """The Prefect API."""
    from flows.prefect.credentials import Credentials
    from flows.prefect.runs import REFUSED

    shown = without_userinfo(api_url)
    try:
        (await http.get(f"{api_url}/health")).raise_for_status()
        answer = await http.get(f"{api_url}/admin/version", headers=Credentials.read().headers)
        if answer.status_code in {401, 403}:
            return Finding("Prefect", False, f"{shown} {REFUSED}")
        version = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        advice = f"{_START} For a server of your own, set EASEL_PREFECT__API_URL."
        return Finding("Prefect", False, f"{shown}: {_words(error)}", advice)
    return Finding("Prefect", True, f"{shown}, version {version}")


def worker(live: Sequence[WorkerRecord]) -> Finding:
    """The workers that were seen in the last seconds."""
    if not live:
        return Finding("worker", False, "none is running", f"{_START} Or one with `easel worker`.")
    names = ", ".join(f"{each.name} at {each.comfy_url}" for each in live)
    away = [each for each in live if not each.comfy_reachable]
    if len(away) == len(live):
        return Finding("worker", False, f"{names}: {away[0].detail}", "Start its ComfyUI.")
    absent = "; ".join(f"{each.name} does not reach its ComfyUI: {each.detail}" for each in away)
    return Finding("worker", True, names, absent)


def pool(live: Sequence[WorkerRecord]) -> list[Finding]:
    """Runs of other stores in the work pool, if there are any."""
    found = foreign_runs(live)
    return [Finding("work pool", True, found)] if found else []


async def comfyui(address: Address) -> Finding:
    """ComfyUI or the emulator, and whether it has a checkpoint."""
    from comfy import ComfyClient, TransientComfyError
    from comfy.versions import shortcoming, too_old

    url, client = address.url, ComfyClient(address, timeout_s=10)
    try:
        stats, catalogue = await client.system_stats(), await client.catalogue()
    except TransientComfyError as error:
        advice = "Start ComfyUI, or name its address with EASEL_COMFY__URL."
        return Finding("ComfyUI", False, f"{url}: {error}", advice)
    finally:
        await client.aclose()
    kind = "emulator" if stats.is_emulator else f"ComfyUI {stats.version}"
    devices = ", ".join(_device(device) for device in stats.devices) or "no device"
    detail = f"{url}, {kind}, {devices}, {len(catalogue.checkpoints)} checkpoints"
    if not catalogue.checkpoints:
        advice = "Put a checkpoint (.safetensors) into ComfyUI's folder models/checkpoints."
        return Finding("ComfyUI", False, detail, advice)
    if (why := too_old(stats.version)) is not None:
        return Finding("ComfyUI", False, f"{url}: {why}", "Update ComfyUI.")
    remarks = [
        "Its images do not come from a model: see --comfy-url." if stats.is_emulator else "",
        shortcoming(stats.version) or "",
        f"{catalogue.why_left_out} Rename them." if catalogue.left_out else "",
    ]
    return Finding("ComfyUI", True, detail, " ".join(filter(None, remarks)))


def _device(device: Device) -> str:
    gigabytes = 1024**3
    free, total = device.vram_free / gigabytes, device.vram_total / gigabytes
    return f"{device.name} ({free:.1f} of {total:.1f} GB free)"


async def api(http: httpx.AsyncClient, url: str) -> Finding:
    """Easel's own API, and what it reports as missing."""
    login, url = basic_authorization(url), without_userinfo(url)
    headers = {} if login is None else {"Authorization": login}
    try:
        answer = await http.get(f"{url}/healthz", headers=headers)
        ready = await http.get(f"{url}/readyz", headers=headers)
        if httpx.codes.UNAUTHORIZED in {answer.status_code, ready.status_code}:
            return Finding("API", False, login_words(ready, url, "EASEL_API__PUBLIC_URL"))
        answer.raise_for_status()
        parts: list[dict[str, Any]] = ready.json()["parts"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return Finding("API", False, f"{url}: {_words(error)}", _START)
    missing = [f"{part['name']}: {part['detail']}" for part in parts if not part["ok"]]
    if missing:
        return Finding("API", False, f"{url} is not ready", "; ".join(missing))
    return Finding("API", True, f"{url}, ready")


def _words(error: Exception) -> str:
    return without_userinfo(str(error)) or type(error).__name__
