"""Waiting in the worker thread, ended at once by an interrupt or a stop."""

import threading
import time
from collections.abc import Callable


class Interrupted(Exception):  # noqa: N818 - named for what happened, as in ComfyUI
    """POST /interrupt took effect."""


class Stopped(Exception):  # noqa: N818
    """The server is going down; nothing more may be reported."""


class Pacing:
    """The clock of the worker. `interrupt` and `stop` may be called from any thread."""

    def __init__(self) -> None:
        self._wake = threading.Event()
        self._interrupted = False
        self._stopped = False

    def interrupt(self) -> None:
        """End the running prompt at its next step or node boundary."""
        self._interrupted = True
        self._wake.set()

    def stop(self) -> None:
        """End everything."""
        self._stopped = True
        self._wake.set()

    def reset(self) -> None:
        """The prompt has ended: an interrupt meant for it must not hit the next one."""
        self._interrupted = False
        if not self._stopped:
            self._wake.clear()

    def check(self) -> None:
        """Raise Stopped, or Interrupted (once), if so asked."""
        if self._stopped:
            raise Stopped
        if self._interrupted:
            self.reset()
            raise Interrupted

    def wait_until(self, moment: float) -> None:
        """Sleep until `time.monotonic()` is `moment`; raises as `check` does."""
        self.check()
        left = moment - time.monotonic()
        if left > 0 and self._wake.wait(left):
            self.check()

    def sleep(self, seconds: float) -> None:
        """Sleep through interrupts, as while loading a model; raises Stopped."""
        self.wait_while(lambda: True, seconds, interruptible=False)

    def wait_while(
        self, condition: Callable[[], bool], seconds: float | None, *, interruptible: bool
    ) -> None:
        """Sleep while `condition` holds, at most `seconds` (None: forever)."""
        end = None if seconds is None else time.monotonic() + seconds
        while condition():
            if self._stopped or interruptible:
                self.check()
            left = 0.01 if end is None else min(0.01, end - time.monotonic())
            if left <= 0:
                return
            # Not `_wake`: an interrupt that does not count would make it spin.
            time.sleep(left)
