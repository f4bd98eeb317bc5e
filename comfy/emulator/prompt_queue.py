"""The prompt queue and the history: in memory, with ComfyUI's rules and its bugs."""

import heapq
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

Item = tuple[float, str, dict[str, Any], dict[str, Any], list[str]]
"""(number, prompt_id, graph, extra_data, ids of the output nodes): the wire's item."""

SECRET_KEYS = ("auth_token_comfy_org", "api_key_comfy_org")
"""Parts of extra_data that are not kept: in the history never, in the queue only before 0.24."""


class PromptQueue:
    """A heap of items, at most one running, and what has ended.

    Shared by the event loop and the worker thread. `changed` is called on every
    change of the number of prompts; it may ask for `remaining` and must not wait.
    """

    def __init__(self, changed: Callable[[], None], history_limit: int) -> None:
        self._changed = changed
        self._history_limit = history_limit
        self._condition = threading.Condition()
        self._pending: list[Item] = []
        self._running: Item | None = None
        self._history: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._free: dict[str, bool] = {}
        self._stopped = False

    def put(self, item: Item) -> None:
        """Queue an item, of any prompt_id: ComfyUI does not look for duplicates.

        Raises TypeError, with the item queued all the same, if number and prompt_id
        both tie with a pending item: heapq then compares the graphs (a real bug).
        """
        with self._condition:
            try:
                heapq.heappush(self._pending, item)
                self._changed()  # called before the worker can have begun it, as in ComfyUI
            finally:
                self._condition.notify()

    def take(self) -> Item | None:
        """Wait for work and make it the running item; None means look at `free_flags`.

        Raises TypeError on the tie described at `put`: the real worker dies of it.
        """
        with self._condition:
            while not (self._pending or self._free or self._stopped):
                self._condition.wait()
            if self._stopped or self._free:
                return None
            self._running = heapq.heappop(self._pending)
            item = self._running
        self._changed()
        return item

    def finish(self, entry: dict[str, Any] | None) -> None:
        """Move the running item to the history, as `entry`, in one step."""
        with self._condition:
            item, self._running = self._running, None
            if item is not None and entry is not None and not self._stopped:
                without_secrets(item[3])
                self._history[item[1]] = entry
                while len(self._history) > self._history_limit:
                    self._history.popitem(last=False)
        self._changed()

    def stop(self) -> None:
        """Wake the worker to let it end."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    def remaining(self) -> int:
        """Pending plus running."""
        with self._condition:
            return len(self._pending) + (self._running is not None)

    def snapshot(self) -> tuple[list[Item], list[Item]]:
        """(running, pending); pending in heap order, which is not execution order."""
        with self._condition:
            return [self._running] if self._running else [], list(self._pending)

    def if_running(self, prompt_id: str | None, action: Callable[[], None]) -> None:
        """Call `action` if something runs, or that prompt_id; it cannot end meanwhile."""
        with self._condition:
            if self._running and prompt_id in (None, self._running[1]):
                action()

    def delete(self, prompt_id: str) -> None:
        """Drop one pending item of that id, without a trace; a running one stays."""
        with self._condition:
            found = self._drop_pending(prompt_id)
        if found:
            self._changed()

    def cancel(self, prompt_id: str, interrupt: Callable[[], None]) -> bool:
        """Interrupt that prompt if it runs, else drop it if it waits; whether it did either.

        It can neither start nor end meanwhile, so no other prompt is interrupted.
        """
        with self._condition:
            if self._running and self._running[1] == prompt_id:
                interrupt()
                return True
            found = self._drop_pending(prompt_id)
        if found:
            self._changed()
        return found

    def _drop_pending(self, prompt_id: str) -> bool:
        for index, item in enumerate(self._pending):
            if item[1] == prompt_id:
                del self._pending[index]
                heapq.heapify(self._pending)
                return True
        return False

    def clear(self) -> None:
        """Drop all pending items."""
        with self._condition:
            self._pending.clear()
        self._changed()

    def history(self, max_items: int | None = None, offset: int = -1) -> dict[str, Any]:
        """Entries, oldest first: the last `max_items`, or `max_items` from `offset` on."""
        with self._condition:
            keys = list(self._history)
            if offset < 0 and max_items is not None:
                offset = max(0, len(keys) - max_items)
            chosen: dict[str, Any] = {}
            for key in keys[max(0, offset) :]:
                chosen[key] = self._history[key]
                # Checked after the first, so max_items=0 with an offset gives one (recorded).
                if max_items is not None and len(chosen) >= max_items:
                    break
            return chosen

    def history_of(self, prompt_id: str) -> dict[str, Any]:
        """{prompt_id: entry}, or {} for an id that is unknown, queued or running."""
        with self._condition:
            entry = self._history.get(prompt_id)
            return {} if entry is None else {prompt_id: entry}

    def forget(self, prompt_id: str) -> None:
        """Remove one history entry, if there."""
        with self._condition:
            self._history.pop(prompt_id, None)

    def forget_all(self) -> None:
        """Empty the history."""
        with self._condition:
            self._history.clear()

    def ask_free(self, flags: dict[str, bool]) -> None:
        """Keep the flags of POST /free for the worker, which acts on them when idle."""
        with self._condition:
            self._free.update(flags)
            self._condition.notify()

    def free_flags(self) -> dict[str, bool]:
        """Take the flags of POST /free."""
        with self._condition:
            flags, self._free = self._free, {}
            return flags


def secrets_of(extra_data: dict[str, Any]) -> dict[str, Any]:
    """The keys of ComfyUI's paid services in a prompt's extra_data; an empty one is none."""
    return {key: extra_data[key] for key in SECRET_KEYS if extra_data.get(key)}


def without_secrets(extra_data: dict[str, Any]) -> None:
    """Take the keys of ComfyUI's paid services out of a prompt's extra_data."""
    for key in SECRET_KEYS:
        extra_data.pop(key, None)
