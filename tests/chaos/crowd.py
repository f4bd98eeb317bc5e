"""Three workers that all last: two beside one ComfyUI, the third beside one of its own."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.house import ChaosStack
from tests.harness.emulator import EmulatorControl
from tests.harness.processes import free_port
from tests.harness.stack import STEP_S
from tests.harness.waiting import wait_until


class Crowd(ChaosStack):
    """A stack to be hurt, with more of what can be."""

    lasting = ("worker", "api", "second", "third")

    def __init__(self, folder: Path, prefect_database: Path | None = None) -> None:
        super().__init__(folder, prefect_database)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        self._other_comfy = self._part(
            "comfyui-2",
            *("-m", "comfy.emulator", "--port", str(port)),
            *("--output-dir", str(folder / "output-2"), "--step-time", str(STEP_S)),
        )
        self._third = self._part(
            "worker-3", *self._worker.command[1:], EASEL_WORKER__NAME="three", EASEL_COMFY__URL=url
        )
        self.emulators = (self.emulator, EmulatorControl(url))
        self.parts = (*self.parts, self._other_comfy, self._third)
        self._by_name |= {"third": self._third}

    def start(self) -> None:
        """Start what does not run; return when pictures can be made by all three."""
        super().start()
        self.revive()
        for worker in ("worker two", "worker three"):
            wait_until(lambda: self._takes(worker), worker, within=60)  # noqa: B023 - in its turn

    def revive(self) -> None:
        """Start every part that does not run."""
        super().revive()
        for part in (self._other_comfy, self._second, self._third):
            part.start()

    def stop(self) -> None:
        """End everything."""
        self._third.kill()
        self.emulators[1].close()
        super().stop()
        self._other_comfy.kill()
