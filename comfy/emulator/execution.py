"""The execution of one prompt: node by node, with ComfyUI's messages."""

import time
import traceback
from typing import Any

from .cache import graph_keys, is_link, links
from .catalogue import NodeClass
from .faults import OUT_OF_MEMORY_TIPS, OUT_OF_MEMORY_TYPE
from .machine import Machine
from .nodes import LAZY, is_changed, run_node
from .order import Order
from .pacing import Interrupted, Stopped
from .progress import Progress
from .prompt_queue import Item
from .values import Result, Run

UNAUTHORIZED = "Unauthorized: Please login first to use this node."
"""What a paid node raises without a key (comfy_api_nodes of 0.3.64 and later)."""
KNOWN_PREVIEWS = {"none": False, "latent2rgb": True, "taesd": True, "auto": True}
"""extra_data.preview_method; any other value means the server's own setting."""


class NodeEnded(Exception):  # noqa: N818
    """A node raised or was interrupted: the end of the prompt."""

    def __init__(self, outcome: str, event: str, data: dict[str, Any]) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.event = event
        self.data = data


class Execution:
    """One run of one prompt."""

    def __init__(self, machine: Machine, item: Item) -> None:
        self._machine = machine
        self._sockets = machine.sockets
        self._item = item
        self._prompt_id, self._graph, self._extra_data, self._outputs = item[1:]
        self._classes = machine.catalogue.classes()
        self._messages: list[tuple[str, dict[str, Any]]] = []
        self._shown: dict[str, dict[str, Any]] = {}
        self._executed: list[str] = []
        self._results: dict[str, Result] = {}
        self._outcome = "error"
        self._keys: dict[str, str] = {}
        owner = self._extra_data.get("client_id")
        self._sockets.owner = owner if isinstance(owner, str) else None
        throttles = machine.release.throttles_progress
        self._progress = Progress(self._prompt_id, self._sockets, throttles=throttles)

    def run(self) -> str:
        """Execute; returns `success`, `error` or `interrupted`. Raises Stopped."""
        self._choose_previews()
        self._note("execution_start", {})
        try:
            self._run_graph()
        except NodeEnded as ended:
            self._note(ended.event, ended.data, to_all=ended.outcome == "interrupted")
            self._outcome = ended.outcome
        else:
            self._note("execution_success", {})
            self._outcome = "success"
        if self._machine.faults.hides_outputs():
            self._shown.clear()
        return self._outcome

    def history_entry(self) -> dict[str, Any]:
        """Returns the /history entry of this run. An interrupt is an error there, too."""
        success = self._outcome == "success"
        return {
            "prompt": self._item,
            "outputs": self._shown,
            "status": {
                "status_str": "success" if success else "error",
                "completed": success,
                "messages": self._messages,
            },
            "meta": {
                node_id: {
                    "node_id": node_id,
                    "display_node": node_id,
                    "parent_node": None,
                    "real_node_id": node_id,
                }
                for node_id in self._shown
            },
        }

    def send_end(self) -> None:
        """The universal end marker: only the owner gets it, whatever the outcome."""
        self._sockets.last_node_id = None
        self._tell("executing", {"node": None})

    def _choose_previews(self) -> None:
        default = self._machine.options.preview_method != "none"
        asked = self._extra_data.get("preview_method")
        wanted = KNOWN_PREVIEWS.get(asked, default) if isinstance(asked, str) else default
        self._machine.sampling.previews = wanted

    def _run_graph(self) -> None:
        cache = self._machine.cache
        self._keys = graph_keys(self._graph, self._changes())
        cache.keep_only(self._keys)
        cached = {node_id for node_id, key in self._keys.items() if key in cache}
        names = [node_id for node_id in self._graph if node_id in cached]
        self._note("execution_cached", {"nodes": names})
        order = Order(
            self._graph,
            self._outputs,
            cached.__contains__,
            lambda node_id: self._class_of(node_id).output_node,
            self._is_lazy,
        )
        while (node_id := order.next()) is not None:
            if not order.ask_for(node_id, self._wanted(node_id)):
                self._run_node(node_id)
                order.done(node_id)

    def _class_of(self, node_id: str) -> NodeClass:
        return self._classes[self._graph[node_id]["class_type"]]

    def _is_lazy(self, node_id: str, name: str) -> bool:
        config = self._class_of(node_id).inputs.get("required", {}).get(name, [None])
        return len(config) > 1 and bool(config[1].get("lazy"))

    def _wanted(self, node_id: str) -> list[str]:
        """The sources of those lazy inputs that a node needs, once all others are there."""
        if self._graph[node_id]["class_type"] not in LAZY or self._is_known(node_id):
            return []
        names = LAZY[self._graph[node_id]["class_type"]](self._inputs(node_id))
        given = ((name, source) for name, source, _ in links(self._graph, node_id))
        return [source for name, source in given if name in names]

    def _is_known(self, node_id: str) -> bool:
        return self._machine.cache.get(self._keys[node_id]) is not None

    def _changes(self) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for node_id, node in self._graph.items():
            inputs = node.get("inputs", {})
            changed = is_changed(self._machine.folders, node["class_type"], inputs)
            if changed is not None:
                changes[node_id] = node["is_changed"] = [changed]
        return changes

    def _run_node(self, node_id: str) -> None:
        key = self._keys[node_id]
        known = self._machine.cache.get(key)
        if known is not None:
            self._show(node_id, known, always=True)
        else:
            self._sockets.last_node_id = node_id
            self._progress.start(node_id)
            self._tell("executing", {"node": node_id, "display_node": node_id})
            known = self._result(node_id)
            self._machine.cache.put(key, known)
            self._show(node_id, known, always=False)
        self._executed.append(node_id)
        self._progress.finish(node_id)

    def _result(self, node_id: str) -> Result:
        class_type = self._graph[node_id]["class_type"]
        inputs: dict[str, Any] = {}
        try:
            self._machine.pacing.check()
            inputs.update(self._inputs(node_id))
            self._fail_if_planned(node_id, class_type, inputs)
            self._check_key(node_id)
            return run_node(self._run_context(node_id), inputs)
        except Interrupted:
            where = self._where(node_id)
            raise NodeEnded("interrupted", "execution_interrupted", where) from None
        except (Stopped, NodeEnded):
            raise
        except Exception as error:
            data = self._error(node_id, error, inputs)
            raise NodeEnded("error", "execution_error", data) from error

    def _check_key(self, node_id: str) -> None:
        """Raise what a paid node raises without a key."""
        keys = self._machine.ledger.keys_of(self._prompt_id)
        if self._class_of(node_id).is_paid and not keys:
            raise Exception(UNAUTHORIZED)  # noqa: TRY002 - as it is there

    def _run_context(self, node_id: str) -> Run:
        pnginfo = self._extra_data.get("extra_pnginfo")
        return Run(
            prompt_id=self._prompt_id,
            graph=self._graph,
            extra_pnginfo=pnginfo,
            folders=self._machine.folders,
            temp_prefix=self._machine.temp_prefix,
            sampling=self._machine.sampling,
            pacing=self._machine.pacing,
            assets=self._machine.options.assets,
            progress=lambda value, top, image, kind: self._progress.step(
                node_id, value, top, image, kind
            ),
            node_class=self._class_of(node_id),
            key=self._keys[node_id],
        )

    def _inputs(self, node_id: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in self._graph[node_id]["inputs"].items():
            if is_link(self._graph, value):
                result = self._machine.cache.get(self._keys[value[0]])
                values[name] = result.values[value[1]] if result is not None else None
            else:
                values[name] = value
        return values

    def _show(self, node_id: str, result: Result, *, always: bool) -> None:
        if result.shown is not None:
            self._shown[node_id] = result.shown
        if result.shown is not None or always:
            shown = {"node": node_id, "display_node": node_id, "output": result.shown}
            self._tell("executed", shown)

    def _where(self, node_id: str) -> dict[str, Any]:
        return {
            "node_id": node_id,
            "node_type": self._graph[node_id]["class_type"],
            "executed": list(self._executed),
        }

    def _error(self, node_id: str, error: Exception, inputs: dict[str, Any]) -> dict[str, Any]:
        kind = type(error)
        name = kind.__qualname__
        if kind.__module__ != "builtins":
            name = f"{kind.__module__}.{name}"
        frames = traceback.format_tb(error.__traceback__)
        return self._error_data(node_id, name, str(error), frames, inputs)

    def _error_data(
        self, node_id: str, kind: str, message: str, frames: list[str], inputs: dict[str, Any]
    ) -> dict[str, Any]:
        tips = ""
        if kind == OUT_OF_MEMORY_TYPE:
            tips = OUT_OF_MEMORY_TIPS
            self._machine.ledger.unload()  # ComfyUI unloads all models then
        return {
            **self._where(node_id),
            "exception_message": f"{message}\n{tips}",
            "exception_type": kind,
            "traceback": frames,
            "current_inputs": {name: [str(value)] for name, value in inputs.items()},
            "current_outputs": list(self._graph),
        }

    def _fail_if_planned(self, node_id: str, class_type: str, inputs: dict[str, Any]) -> None:
        planned = self._machine.faults.node_error(class_type)
        if planned is not None:
            frames = ['  File "execution.py", line 542, in execute\n    (emulated fault)\n']
            kind, message = planned.exception_type, planned.message
            data = self._error_data(node_id, kind, message, frames, inputs)
            raise NodeEnded("error", "execution_error", data)

    def _note(self, event: str, data: dict[str, Any], *, to_all: bool = False) -> None:
        """Send a message that the history keeps, too."""
        timestamp = int(time.time() * 1000)
        full = {"prompt_id": self._prompt_id, **data, "timestamp": timestamp}
        self._messages.append((event, full))
        if self._sockets.owner is not None or to_all:
            self._sockets.send(event, full, self._sockets.owner)

    def _tell(self, event: str, data: dict[str, Any]) -> None:
        """Send a message to the owner; without a client_id it is dropped."""
        if self._sockets.owner is not None:
            self._sockets.send(event, {**data, "prompt_id": self._prompt_id}, self._sockets.owner)
