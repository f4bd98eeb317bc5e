"""Failpoints: named points at which a test makes this process die, stop or fail.

Inert unless ``EASEL_FAILPOINTS`` names a folder. There, a file with a failpoint's name arms it; its
text is the action, and after a colon the hit at which it triggers (``kill:2``: the second). It
triggers once, in the first process to reach it, and the file is renamed to ``<name>.struck``.

| action | what happens |
|---|---|
| ``kill`` | as by ``kill -9`` |
| ``term`` | as by ``kill``; the process continues until it stops by itself |
| ``stop`` | as by ``kill -STOP``: the test that armed it continues the process |
| ``full`` | OSError ENOSPC, as when the disk is full |
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path
from typing import Final

FAILPOINTS: Final = (
    "accept.before_commit",
    "accept.after_commit",
    "dispatch.before_create",
    "dispatch.after_create",
    "take.after_claim",
    "lead.before_create",
    "lead.after_create",
    "lead.before_told",
    "submit.after_intent",
    "submit.before_post",
    "inputs.before_put",
    "inputs.after_put",
    "submit.after_post",
    "track.seen",
    "fetch.mid",
    "save.after_temporary",
    "save.after_rename",
    "state.before_commit",
    "state.after_commit",
    "state.after_failure",
    "delete.after_tombstone",
    "deliver.before_send",
    "deliver.after_send",
)
"""All failpoints; ``reach`` refuses other names."""
_FOLDER: Final = os.environ.get("EASEL_FAILPOINTS")


def reach(name: str) -> None:
    """The process has reached the failpoint ``name``."""
    if _FOLDER is None:
        return
    if name not in FAILPOINTS:
        raise ValueError(f"there is no failpoint {name}")
    action = _strike(Path(_FOLDER) / name)
    if action is not None:
        _ACTIONS[action]()


def _strike(armed: Path) -> str | None:
    """Returns the action if this is the hit it is armed for."""
    try:
        action, _, hits = armed.read_text(encoding="ascii").strip().partition(":")
        if int(hits or 1) > 1:
            armed.write_text(f"{action}:{int(hits) - 1}", encoding="ascii")
            return None
        armed.rename(armed.with_name(f"{armed.name}.struck"))
    except FileNotFoundError:  # not armed, or another process was quicker
        return None
    return action


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_ACTIONS: Final = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
    # To this thread: the kernel would give a signal for the process to the main thread, and this
    # one, such as the worker's loop, would go on until that one is scheduled.
    "stop": lambda: signal.pthread_kill(threading.get_ident(), signal.SIGSTOP),
    "full": _full,
}
