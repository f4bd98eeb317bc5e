"""ComfyUI's routes about prompts: the queue, the history, interrupts."""

import time
import uuid
from typing import Any

from aiohttp import web

from .jobs import canonical
from .machine import Machine
from .nodes import input_path
from .prompt_queue import secrets_of, without_secrets
from .refusals import problem
from .validation import validate

ID_HINT = (
    "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
    "omit it to let the server generate one"
)


class Routes:
    """The handlers. What a handler raises becomes aiohttp's 500, as in the real server."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._queue = machine.queue
        self._number = 0
        self._release = machine.release

    @property
    def _ignores_ids(self) -> bool:
        return not self._release.keeps_prompt_ids or self._machine.faults.ignores_prompt_ids

    def table(self) -> list[web.RouteDef]:
        """All of them, without the prefix."""
        return [
            web.post("/prompt", self.post_prompt),
            web.get("/prompt", self.get_prompt),
            web.get("/queue", self.get_queue),
            web.post("/queue", self.post_queue),
            web.post("/interrupt", self.post_interrupt),
            web.post("/free", self.post_free),
            web.get("/history", self.get_history),
            web.post("/history", self.post_history),
            web.get("/history/{prompt_id}", self.get_history_of),
        ]

    async def post_prompt(self, request: web.Request) -> web.StreamResponse:
        """POST /prompt. Nothing is deduplicated."""
        said = await request.json()
        number = self._next_number(said)
        if "prompt" not in said:
            return _refused(problem("no_prompt", "No prompt provided", "No prompt provided"))
        prompt_id = self._prompt_id(said)
        if prompt_id is None:
            message = "prompt_id must be a valid UUID"
            return _refused(problem("invalid_prompt_id", message, ID_HINT))
        verdict = validate(
            said["prompt"],
            self._machine.catalogue.classes(),
            lambda name: input_path(self._machine.folders, name).is_file(),
            said.get("partial_execution_targets"),
        )
        extra_data = said.get("extra_data", {})
        if "client_id" in said:
            extra_data["client_id"] = said["client_id"]
        if verdict.error is not None:
            return _refused(verdict.error, verdict.node_errors)
        self._machine.ledger.paid_with(prompt_id, secrets_of(extra_data))
        if self._release.hides_secrets:
            without_secrets(extra_data)
        if self._release.notes_sources and (source := request.headers.get("Comfy-Usage-Source")):
            extra_data.setdefault("comfy_usage_source", source)
        extra_data["create_time"] = int(time.time() * 1000)
        self._queue.put((number, prompt_id, said["prompt"], extra_data, verdict.outputs))
        self._machine.ledger.posted(prompt_id)
        answer = {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}
        return web.json_response(answer)

    def _prompt_id(self, said: dict[str, Any]) -> str | None:
        """The id of a new prompt; None for one that this release refuses."""
        if self._ignores_ids or "prompt_id" not in said:
            return str(uuid.uuid4())
        given = said["prompt_id"]
        if not self._release.checks_prompt_ids:
            return str(given)  # null too, as "None"
        if given is None:
            return str(uuid.uuid4())
        return str(given) if canonical(given) else None

    def _next_number(self, said: Any) -> float:
        """The counter advances before validation, so rejected prompts consume numbers."""
        if "number" in said:
            return float(said["number"])
        number = self._number
        if "front" in said:  # not `get`: the body may be a list, and then is "no_prompt"
            number = -number if said["front"] else number
        self._number += 1
        return number

    async def get_prompt(self, _: web.Request) -> web.Response:
        """GET /prompt: how many are left."""
        return web.json_response(self._machine.sockets.status())

    async def get_queue(self, _: web.Request) -> web.Response:
        """GET /queue: full items, the pending ones in heap order."""
        running, pending = self._queue.snapshot()
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def post_queue(self, request: web.Request) -> web.Response:
        """POST /queue: delete pending items, or clear; always an empty 200."""
        said = await request.json()
        if said.get("clear"):
            self._queue.clear()
        for prompt_id in said.get("delete", ()):
            self._queue.delete(prompt_id)
        return web.Response()

    async def post_interrupt(self, request: web.Request) -> web.Response:
        """POST /interrupt: what runs, or only if the given id runs; always an empty 200."""
        try:
            said = await request.json()
        except ValueError:
            said = {}
        only = said.get("prompt_id") if self._release.interrupts_one else None
        self._queue.if_running(only or None, self._machine.pacing.interrupt)
        return web.Response()

    async def post_free(self, request: web.Request) -> web.Response:
        """POST /free: done by the worker when it is idle."""
        said = await request.json()
        flags = {name: True for name in ("unload_models", "free_memory") if said.get(name)}
        if flags:
            self._queue.ask_free(flags)
        return web.Response()

    async def get_history(self, request: web.Request) -> web.Response:
        """GET /history?max_items=&offset=, oldest first."""
        query = request.rel_url.query
        max_items = int(query["max_items"]) if "max_items" in query else None
        offset = int(query["offset"]) if "offset" in query else -1
        return web.json_response(self._queue.history(max_items, offset))

    async def post_history(self, request: web.Request) -> web.Response:
        """POST /history: delete entries, or clear; an empty 200."""
        said = await request.json()
        if said.get("clear"):
            self._queue.forget_all()
        for prompt_id in said.get("delete", ()):
            self._queue.forget(prompt_id)
        return web.Response()

    async def get_history_of(self, request: web.Request) -> web.Response:
        """GET /history/{id}: {} unless it has ended."""
        return web.json_response(self._queue.history_of(request.match_info["prompt_id"]))


def _refused(error: dict[str, Any], node_errors: dict[str, Any] | None = None) -> web.Response:
    return web.json_response({"error": error, "node_errors": node_errors or {}}, status=400)
