"""The emulator as a whole: what survives its emulated restarts."""

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .faults import Faults
from .folders import Folders
from .ledger import Ledger
from .machine import Machine
from .options import EmulatorOptions
from .server import Server


class Emulator:
    """A ComfyUI without a model, in this process: `async with Emulator(options) as emulator`."""

    def __init__(self, options: EmulatorOptions | None = None) -> None:
        self.options = options or EmulatorOptions()
        self.faults = Faults()
        self._ledger = Ledger()
        self._server: Server | None = None
        self._folders: Folders | None = None
        self._scratch: Path | None = None
        self._port = self.options.port
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._restarts: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken or the folder cannot be made."""
        self._stopping.clear()
        output = self.options.output_dir
        if output is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="easel-emulator-"))
            output = self._scratch / "output"
        self._folders = Folders.beside(output)
        try:
            self._folders.make()
            async with self._changing:
                await self._up()
        except OSError:
            self._clean()
            raise

    async def stop(self) -> None:
        """Stop at once and remove temporary files. No-op when not running."""
        self._stopping.set()
        # A restart that failed has left the server down, which is what is wanted here.
        await asyncio.gather(*self._restarts, return_exceptions=True)
        async with self._changing:
            await self._down()
        await asyncio.to_thread(self._clean)

    def _clean(self) -> None:
        """Remove what is temporary: all of it without an `output_dir`."""
        if self._folders is not None:
            shutil.rmtree(self._folders.temp, ignore_errors=True)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    async def restart(self, down_s: float = 0.0) -> None:
        """Die, stay away for `down_s` seconds, come back on the same port.

        Queue, history, numbers, cache, uploads to temp: all lost. Output files, the
        ledger and pending faults: kept.
        """
        async with self._changing:
            await self._down()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), down_s)
            if not self._stopping.is_set():
                await self._up()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """`http://host:port`."""
        return f"http://{self.options.host}:{self._port}"

    @property
    def output_dir(self) -> Path:
        """Where SaveImage writes. Raises RuntimeError before `start`."""
        return self._started().output

    @property
    def input_dir(self) -> Path:
        """Where uploads go. Raises RuntimeError before `start`."""
        return self._started().input

    @property
    def user_dir(self) -> Path:
        """What /userdata serves: `workflows/…`; maybe not there yet. Raises RuntimeError before
        `start`."""
        return self._started().user

    @property
    def blueprints_dir(self) -> Path:
        """What /global_subgraphs serves: `NAME.json`; maybe not there yet. Raises RuntimeError
        before `start`."""
        return self._started().blueprints

    def _started(self) -> Folders:
        if self._folders is None:
            raise RuntimeError("the emulator was not started")
        return self._folders

    @property
    def renders(self) -> dict[str, int]:
        """Sampler runs begun by prompt_id, over all incarnations."""
        return self._ledger.renders

    @property
    def posts(self) -> dict[str, int]:
        """Accepted POST /prompt by prompt_id, over all incarnations."""
        return self._ledger.posts

    @property
    def keys(self) -> dict[str, dict[str, str]]:
        """SHA-256 (hex) of the keys of paid services that prompts came with, by prompt_id."""
        return self._ledger.keys

    @property
    def executions(self) -> list[dict[str, Any]]:
        """prompt_id, started, ended (`time.time()`), outcome, incarnation; oldest first."""
        return self._ledger.executions

    @property
    def incarnation(self) -> int:
        """1 after `start`, one more after each restart."""
        return self._ledger.incarnation

    @property
    def loaded(self) -> str | None:
        """The checkpoint that is loaded."""
        return self._ledger.loaded

    @property
    def switches(self) -> int:
        """How often another checkpoint replaced the loaded one."""
        return self._ledger.switches

    async def _up(self) -> None:
        assert self._folders is not None
        shutil.rmtree(self._folders.temp, ignore_errors=True)
        self._folders.temp.mkdir(parents=True)
        self._ledger.unload()
        machine = Machine(self.options, self._folders, self._ledger, self.faults)
        server = Server(machine, self._restart_soon)
        self._port = await server.start(self.options.host, self._port)
        self._server = server
        self._ledger.incarnation += 1

    async def _down(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.kill()

    def _restart_soon(self, down_s: float) -> None:
        task = asyncio.create_task(self._restart_after_reply(down_s))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _restart_after_reply(self, down_s: float) -> None:
        await asyncio.sleep(0.05)  # let the answer to POST /emulator/faults out
        await self.restart(down_s)
