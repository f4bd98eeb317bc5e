"""``easel up``: everything in one command, on a machine that has nothing else."""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.another_home import api_option
from cli.client import ApiClient
from cli.console import FAILED, OK, CommandError
from cli.signals import heed_signals
from cli.up.board import Board
from cli.up.checks import Listener, api_listener, check_home, check_ports, comfy_problem, has_gpu
from cli.up.lock import AlreadyRunningError, Running, hold, own_pid
from cli.up.part import PAID_KEY, Part, local_api_url, parts_of
from cli.up.ports import free_port
from cli.up.stand_ins import STAND_INS
from cli.up.supervisor import PartFailedError, Supervisor
from cli.up.welcome import GaveWayError, NoWelcomeError, Welcome, render_welcome
from comfy.address import Address
from core.settings import Settings
from core.urls import without_userinfo
from flows.prefect.server import retention_environment

READY_WITHIN_S: Final = 180.0
_TAKE_OVER: Final = "EASEL_PREFECT__TAKE_OVER"
_OF_ONE: Final = frozenset({_TAKE_OVER, PAID_KEY})
"""What is not for every part, at every start."""
_SERVER_AUTH: Final = "PREFECT_SERVER_API_AUTH_STRING"
_CLIENT_AUTH: Final = "PREFECT_API_AUTH_STRING"


@dataclass(frozen=True)
class Setup:
    """What will run: the settings as every part reads them from ``environment``.

    ``at_first`` is for the first start only: a store that lost the pool does not take it again.
    """

    settings: Settings
    environment: Mapping[str, str]
    at_first: Mapping[str, str]
    parts: tuple[Part, ...]
    listeners: tuple[Listener, ...]

    @property
    def emulated(self) -> bool:
        """Returns whether this command starts the emulator."""
        return any(part.name == "emulator" for part in self.parts)


def prepare(step_time: float | None) -> Setup:
    """Read the settings (the options are in the environment by now) and plan the parts."""
    settings = Settings()
    if not settings.comfy.url:
        beside = settings.api.port + 1  # the same at each start: catalogues are kept by address
        port = free_port("127.0.0.1", preferred=0 if beside == settings.prefect.port else beside)
        os.environ["EASEL_COMFY__URL"] = f"http://127.0.0.1:{port}"
        output = str(settings.home / "emulator")
        # Whatever workflow is added, the emulator stands in for its models too.
        arguments = ["--port", str(port), "--output-dir", output, "--any-model"]
        arguments += [part for one in STAND_INS for part in ("--model", one)]
        arguments += ["--step-time", str(step_time)] if step_time is not None else []
        settings = Settings()
        emulator: tuple[str, ...] | None = tuple(arguments)
    else:
        emulator = None
    return Setup(
        settings=settings,
        environment={
            **retention_environment(settings.retention.runs_days, settings.retention.events_days),
            **{name: value for name, value in os.environ.items() if name.upper() not in _OF_ONE},
            **_prefect_environment(settings),
            "PYTHONUNBUFFERED": "1",
        },
        at_first={_TAKE_OVER: os.environ[_TAKE_OVER]} if _TAKE_OVER in os.environ else {},
        parts=tuple(parts_of(settings, emulator)),
        listeners=tuple(_listeners(settings)),
    )


def _prefect_environment(settings: Settings) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_API_URL": settings.prefect_api_url,
        "PREFECT_UI_URL": settings.prefect_ui_url,
        **({} if settings.prefect.api_url else _shared_password(os.environ)),
    }


def _shared_password(environment: Mapping[str, str]) -> dict[str, str]:
    """The server that is started here and its clients have one password: it is set once."""
    password = environment.get(_SERVER_AUTH) or environment.get(_CLIENT_AUTH)
    return {_SERVER_AUTH: password, _CLIENT_AUTH: password} if password else {}


def _listeners(settings: Settings) -> list[Listener]:
    api = api_listener(settings)
    if settings.prefect.api_url:
        return [api]
    host, port = settings.prefect.host, settings.prefect.port
    prefect = Listener(
        "Prefect server", host, port, "--prefect-port", "EASEL_PREFECT__PORT", "--prefect-host"
    )
    return [api, prefect]


async def up(step_time: float | None) -> int:
    """Run until Ctrl+C or SIGTERM. Returns the exit code. CommandError if it cannot start."""
    board = Board()
    wanted = Settings()
    home = wanted.home
    check_home(home)
    me = Running(
        own_pid(),
        local_api_url(wanted),
        without_userinfo(wanted.prefect_api_url),
        wanted.prefect_ui_url,
    )
    try:
        with hold(home / "easel.lock", me):
            setup = prepare(step_time)
            check_ports(setup.listeners)
            return await _Run(setup, board).run()
    except AlreadyRunningError as error:
        raise CommandError(_already(error.running, home)) from None


def _already(running: Running | None, home: Path) -> str:
    if running is None:
        return f"it is already starting or stopping with the data folder {home}."
    return (
        f"it is already running with the data folder {home} (pid {running.pid}): "
        f"API {running.api_url}/docs, Prefect {running.prefect_ui_url}. "
        f"Stop that one with Ctrl+C or `kill {running.pid}`, or run a second one with another "
        "--home, --port and --prefect-port."
    )


class _Run:
    """One run, from the first process to the last."""

    def __init__(self, setup: Setup, board: Board) -> None:
        self._setup = setup
        self._settings = setup.settings
        self._board = board
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Start, greet, watch, stop."""
        self._board.line(f"Easel starts. Data folder: {self._settings.home}")
        setup = self._setup
        supervisor = Supervisor(
            setup.parts, setup.environment, self._board, at_first=setup.at_first
        )
        async with heed_signals(self._stop, supervisor.hurry), supervisor:
            try:
                await self._until_stopped(supervisor)
                return OK
            except PartFailedError as error:
                self._explain(error)
                return FAILED
            finally:
                self._board.news("stopping …")

    async def _until_stopped(self, supervisor: Supervisor) -> None:
        failing = asyncio.create_task(supervisor.until_failed())
        stopping = asyncio.create_task(self._stop.wait())
        living = asyncio.create_task(self._live(supervisor))
        tasks = {failing, stopping, living}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.wait(pending)
        for task in done:
            task.result()

    async def _live(self, supervisor: Supervisor) -> None:
        """Start and greet, then wait."""
        with self._board.rows(self._setup.parts):
            comfy_why = None
            if not self._setup.emulated:
                comfy_why = await comfy_problem(self._comfy())
                self._warn_of_comfy(comfy_why)
            await supervisor.until_ready(READY_WITHIN_S)
        if comfy_why is not None:  # ComfyUI may have started meanwhile
            comfy_why = await comfy_problem(self._comfy())
        self._addresses()
        self._board.line("Stop with Ctrl+C.")
        if comfy_why is None:
            await self._welcome_on_a_gpu()
        await asyncio.Event().wait()

    def _warn_of_comfy(self, why: str | None) -> None:
        if why is not None:
            self._board.warn(
                f"{why}. Easel starts and keeps every request, but no image is generated until "
                "this is fixed. Start ComfyUI (with --listen if it is on another machine), or name "
                "its address with --comfy-url, or leave that out for the emulator."
            )

    def _comfy(self) -> Address:
        return Address.of(self._settings.comfy.url or "", self._settings.comfy.ca_file)

    def _addresses(self) -> None:
        settings, say = self._settings, self._board.line
        say()
        say("Easel is ready.", "bold green")
        if settings.web.enabled:
            say(f"  page         {settings.api_url}", "bold")
        say(f"  API docs     {settings.api_url}/docs")
        say(f"  Prefect UI   {settings.prefect_ui_url}")
        say(f"  data folder  {settings.home}")
        option = api_option(settings, settings.api_url)
        say(f'  try          easel generate "a red fox at dawn"{option}')
        if self._setup.emulated:
            say()
            self._board.warn(
                "No ComfyUI address was given, so an emulator stands in for it: its images are "
                "painted by a program, not by a model. For real ones: easel up --comfy-url "
                "http://127.0.0.1:8188"
            )
        for warning in warnings_of_open_ports(settings, self._setup.environment):
            self._board.warn(warning)
        say()

    async def _welcome_on_a_gpu(self) -> None:
        if await has_gpu(self._comfy()):
            await self._welcome()
        else:
            self._board.line("No first image: this ComfyUI has no GPU, so one would take minutes.")

    async def _welcome(self) -> None:
        try:
            async with ApiClient(local_api_url(self._settings)) as client:
                welcome = await render_welcome(client, self._settings, self._announce)
        except GaveWayError as error:
            self._board.line(f"No first image: {error}.")
            return
        except NoWelcomeError as error:
            self._board.warn(f"No first image: {error}")
            return
        if welcome is not None:
            self._show(welcome)

    def _announce(self) -> None:
        self._board.line("Generating a first image …")

    def _show(self, welcome: Welcome) -> None:
        say = self._board.line
        say(f"Your first image, after {welcome.seconds:.1f} s:", "bold")
        say(f"  image    {welcome.image_url}")
        say(f"  result   {welcome.result_url}")
        if welcome.file is not None:
            say(f"  file     {welcome.file}")
        say()

    def _explain(self, error: PartFailedError) -> None:
        self._board.line(f"{error}, so Easel stops. The end of its log:", "bold red")
        self._board.last_words(error.part)
        self._board.line("Fix the error above, then run `easel up` again. `easel doctor` may help.")


def warnings_of_open_ports(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """Returns what each port means that other machines reach."""
    found = []
    if not _is_local(settings.api.host):
        found.append(
            f"Easel listens on {settings.api.host}:{settings.api.port} and asks for no password: "
            "everyone who reaches that port can see, create, cancel and delete images and "
            "schedules, and read every prompt. Under a host name it answers only if "
            "EASEL_ALLOWED_HOSTS lists that name."
        )
    if not settings.prefect.api_url and not _is_local(settings.prefect.host):
        password = environment.get("PREFECT_SERVER_API_AUTH_STRING")
        found.append(
            f"Prefect listens on {settings.prefect.host}:{settings.prefect.port}"
            + (
                " and asks for the password in PREFECT_SERVER_API_AUTH_STRING: "
                if password
                else " and asks for no password (PREFECT_SERVER_API_AUTH_STRING sets one): "
            )
            + ("everyone who knows it" if password else "everyone who reaches that port")
            + " can read every run with its prompts, and cancel, delete and start runs. "
            "The worker runs Easel's own flows only."
        )
    return found


def _is_local(host: str) -> bool:
    """Returns whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
