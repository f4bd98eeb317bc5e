"""The worker: the one thread that executes prompts."""

import threading
import time

from .execution import Execution
from .machine import Machine
from .pacing import Stopped
from .prompt_queue import Item


class Worker:
    """Takes prompts from the queue, one at a time, until it is stopped."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._thread = threading.Thread(target=self._work, name="emulator-worker", daemon=True)

    def start(self) -> None:
        """Begin to take prompts."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end at once; a running prompt leaves no trace."""
        self._machine.pacing.stop()
        self._machine.queue.stop()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(seconds)

    def _work(self) -> None:
        machine = self._machine
        while True:
            try:
                item = machine.queue.take()
                machine.pacing.wait_while(
                    lambda: machine.faults.is_zombie, None, interruptible=False
                )
                if item is not None:
                    self._run(item)
                elif not self._free():
                    return
            except TypeError:
                return  # two items tied and heapq compared graphs: the real one dies of it too
            except Stopped:
                return

    def _run(self, item: Item) -> None:
        machine = self._machine
        record = machine.ledger.started(item[1])
        execution = Execution(machine, item)
        try:
            outcome = execution.run()
        except Stopped:
            machine.ledger.ended(record, "lost")
            raise
        machine.ledger.ended(record, outcome)
        # The socket says success before the history knows: a real gap, made reliable.
        time.sleep(machine.options.history_delay)
        machine.queue.finish(execution.history_entry())
        machine.pacing.reset()
        execution.send_end()
        self._free()

    def _free(self) -> bool:
        """Act on POST /free; False if nothing was asked, so that `take` means stop."""
        machine = self._machine
        flags = machine.queue.free_flags()
        if flags.get("unload_models") or flags.get("free_memory"):
            machine.ledger.unload()
        if flags.get("free_memory"):
            machine.cache.clear()
        return bool(flags)
