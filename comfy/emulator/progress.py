"""The progress messages of one prompt."""

import time
from collections.abc import Callable
from typing import Any

from .sockets import Sockets, preview_frame


class Throttle:
    """Which steps of one node are sent, as ComfyUI's progress bars do from 0.24 on: the first, the
    last and those with a picture; of the others, ten a second and 200 in all at most."""

    INTERVAL_S = 0.1
    SHARE = 0.005

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._sent: tuple[float, int] | None = None

    def lets_through(self, value: int, top: int, *, has_picture: bool) -> bool:
        """Whether this step is sent."""
        now = self._now()
        if self._sent is not None and value < top and not has_picture:
            then, before = self._sent
            if now - then < self.INTERVAL_S or (value - before) / top < self.SHARE:
                return False
        self._sent = now, value
        return True


class Progress:
    """`progress_state` (cumulative over the nodes run so far), `progress` and pictures.

    These go to the owner, or to all clients when the prompt has no client_id.
    """

    def __init__(self, prompt_id: str, sockets: Sockets, *, throttles: bool) -> None:
        self._prompt_id = prompt_id
        self._sockets = sockets
        self._throttles = throttles
        self._throttle = Throttle()
        self._nodes: dict[str, dict[str, Any]] = {}

    def start(self, node_id: str) -> None:
        """A node begins."""
        self._throttle = Throttle()
        self._state(node_id, 0.0, 1.0, "running")

    def step(self, node_id: str, value: int, top: int, image: bytes | None, kind: int) -> None:
        """A node has done `value` of `top` steps and may show a picture."""
        if self._throttles and not self._throttle.lets_through(
            value, top, has_picture=image is not None
        ):
            return
        self._state(node_id, value, top, "running")
        data = {"value": value, "max": top, "prompt_id": self._prompt_id, "node": node_id}
        owner = self._sockets.owner
        if image is None:
            self._sockets.send("progress", data, owner)
        elif self._sockets.wants_metadata(owner):
            self._send_picture(self._identity(node_id), kind, image)
            self._sockets.send("progress", data, owner)
        else:
            self._sockets.send("progress", data, owner)
            self._send_picture(None, kind, image)

    def finish(self, node_id: str) -> None:
        """A node has ended, or was cached."""
        last = self._nodes.get(node_id, {"max": 1})
        self._state(node_id, last["max"], last["max"], "finished")

    def _state(self, node_id: str, value: float, top: float, state: str) -> None:
        self._nodes[node_id] = {
            "value": value,
            "max": top,
            "state": state,
            **self._identity(node_id),
        }
        data = {"prompt_id": self._prompt_id, "nodes": dict(self._nodes)}
        self._sockets.send("progress_state", data, self._sockets.owner)

    def _identity(self, node_id: str) -> dict[str, Any]:
        return {
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }

    def _send_picture(self, metadata: dict[str, Any] | None, kind: int, image: bytes) -> None:
        event, payload = preview_frame(metadata, kind, image)
        self._sockets.send(event, payload, self._sockets.owner)
