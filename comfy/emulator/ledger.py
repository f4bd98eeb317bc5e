"""What the emulator did: counted across emulated restarts, for tests and benchmarks."""

import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

KEPT = 20_000
"""Prompts and executions remembered; the oldest fall out."""


class Ledger:
    """Counts POSTs, sampler runs and executions. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._renders: OrderedDict[str, int] = OrderedDict()
        self._posts: OrderedDict[str, int] = OrderedDict()
        self._keys: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._executions: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.incarnation = 0
        self.loaded: str | None = None
        self.loads = 0
        self.switches = 0

    def posted(self, prompt_id: str) -> None:
        """One accepted POST /prompt."""
        self._count(self._posts, prompt_id)

    def paid_with(self, prompt_id: str, keys: Mapping[str, Any]) -> None:
        """The keys of paid services that a prompt came with. Only their hashes are kept."""
        hashes = {name: hashlib.sha256(str(key).encode()).hexdigest() for name, key in keys.items()}
        with self._lock:
            self._keys[prompt_id] = hashes
            if len(self._keys) > KEPT:
                self._keys.popitem(last=False)

    def rendered(self, prompt_id: str) -> None:
        """One sampler run begun."""
        self._count(self._renders, prompt_id)

    def started(self, prompt_id: str) -> dict[str, Any]:
        """Open an execution; hand the record back to `ended`."""
        record: dict[str, Any] = {
            "prompt_id": prompt_id,
            "started": time.time(),
            "ended": None,
            "outcome": None,
            "incarnation": self.incarnation,
        }
        with self._lock:
            self._executions.append(record)
        return record

    def ended(self, record: dict[str, Any], outcome: str) -> None:
        """Close an execution with `success`, `error`, `interrupted` or `lost`."""
        with self._lock:
            record["ended"] = time.time()
            record["outcome"] = outcome

    def load(self, checkpoint: str) -> bool:
        """Note that `checkpoint` is wanted; True if it has to be loaded first."""
        with self._lock:
            if self.loaded == checkpoint:
                return False
            self.loads += 1
            self.switches += self.loaded is not None
            self.loaded = checkpoint
            return True

    def unload(self) -> None:
        """Note that nothing is loaded now (POST /free, restart)."""
        with self._lock:
            self.loaded = None

    @property
    def renders(self) -> dict[str, int]:
        """Sampler runs begun, by prompt_id."""
        with self._lock:
            return dict(self._renders)

    @property
    def posts(self) -> dict[str, int]:
        """Accepted POSTs, by prompt_id."""
        with self._lock:
            return dict(self._posts)

    def keys_of(self, prompt_id: str) -> dict[str, str]:
        """The hashes of one prompt's keys."""
        with self._lock:
            return dict(self._keys.get(prompt_id, {}))

    @property
    def keys(self) -> dict[str, dict[str, str]]:
        """SHA-256 (hex) of each key of a paid service, by prompt_id and name in extra_data."""
        with self._lock:
            return {prompt_id: dict(hashes) for prompt_id, hashes in self._keys.items()}

    @property
    def executions(self) -> list[dict[str, Any]]:
        """Executions in order of their start; times are `time.time()`."""
        with self._lock:
            return [dict(record) for record in self._executions]

    def snapshot(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "incarnation": self.incarnation,
            "renders": self.renders,
            "posts": self.posts,
            "keys": self.keys,
            "executions": self.executions,
            "loaded": self.loaded,
            "loads": self.loads,
            "switches": self.switches,
        }

    def _count(self, counts: OrderedDict[str, int], key: str) -> None:
        with self._lock:
            counts[key] = counts.pop(key, 0) + 1
            if len(counts) > KEPT:
                counts.popitem(last=False)
