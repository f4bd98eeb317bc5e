"""The emulator's own routes, outside ComfyUI's namespace: faults and accounting."""

import inspect
from collections.abc import Callable
from typing import Any

from aiohttp import web

from .faults import Faults
from .ledger import Ledger

SCRIPTABLE = (
    "drop_sockets",
    "drop_sockets_after",
    "refuse_sockets",
    "stall_sockets",
    "drop_replies",
    "answer",
    "fail_node",
    "out_of_memory",
    "hang",
    "release",
    "zombie",
    "ignore_prompt_ids",
    "empty_outputs",
    "forget",
    "truncate_views",
)
"""The methods of `Faults` that POST /emulator/faults may call."""


class Control:
    """The handlers."""

    def __init__(self, faults: Faults, ledger: Ledger, restart: Callable[[float], None]) -> None:
        self._faults = faults
        self._ledger = ledger
        self._restart = restart

    def table(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.post("/emulator/faults", self.post_faults),
            web.get("/emulator/faults", self.get_faults),
            web.delete("/emulator/faults", self.delete_faults),
            web.get("/emulator/state", self.get_state),
        ]

    async def post_faults(self, request: web.Request) -> web.Response:
        """{"fault": name of a `Faults` method or "restart", ...its arguments}."""
        said = await request.json()
        name = said.pop("fault", None)
        if name == "restart":
            self._restart(float(said.get("down_s", 0.0)))
            return web.json_response({"result": None, "active": []}, status=202)
        if name not in SCRIPTABLE:
            known = ", ".join((*SCRIPTABLE, "restart"))
            return _bad(f"unknown fault {name!r}; known: {known}")
        try:
            result = _call(getattr(self._faults, name), said)
        except (TypeError, ValueError) as error:
            return _bad(f"{name}: {error}")
        return web.json_response({"result": result, "active": self._faults.active()})

    async def get_faults(self, _: web.Request) -> web.Response:
        """The pending faults."""
        return web.json_response({"active": self._faults.active()})

    async def delete_faults(self, _: web.Request) -> web.Response:
        """Undo everything."""
        self._faults.clear()
        return web.json_response({"active": []})

    async def get_state(self, _: web.Request) -> web.Response:
        """The ledger."""
        return web.json_response({**self._ledger.snapshot(), "faults": self._faults.active()})


def _call(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    inspect.signature(method).bind(**arguments)
    return method(**arguments)


def _bad(message: str) -> web.Response:
    return web.json_response({"error": message}, status=400)
