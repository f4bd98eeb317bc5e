"""Runs a module as a child that never outlives its parent: ``python -m cli.up.tether MODULE …``.

Stdin is the tether: the reading end of a pipe whose writing end only the supervisor holds, and
nothing is ever written to it. However the supervisor ends, SIGKILL included, the kernel closes
its end and the child reads the end of file. This works the same on every platform, and unlike
PR_SET_PDEATHSIG it asks for no code between fork and exec.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from typing import Final

GRACE_S: Final = 10.0
"""How long an orphan may take to end in good order."""


def main() -> None:
    """Run the module named by the first argument, with the others as its own."""
    module, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with_parent, name="tether", daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    main()
