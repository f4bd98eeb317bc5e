"""Validation of a submitted graph, in ComfyUI's words, those of 0.24 and later, and JSON shapes."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .catalogue import NodeClass

Graph = dict[str, Any]
Problem = dict[str, Any]
Outcome = tuple[bool, list[Problem]]

LONG_LIST = 20
"""Longer lists of choices are not spelled out in an error."""
CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "INT": int,
    "FLOAT": float,
    "STRING": str,
    "BOOLEAN": bool,
}


@dataclass
class Verdict:
    """The result: `error` None means accepted.

    `node_errors` may be filled even then: one good output is enough, and the bad
    ones are dropped silently (a real trap).
    """

    error: Problem | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def problem(kind: str, message: str, details: str, **extra_info: Any) -> Problem:
    """One error as ComfyUI writes it."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def validate(
    graph: Graph,
    classes: dict[str, NodeClass],
    image_exists: Callable[[str], bool],
    targets: list[str] | None = None,
) -> Verdict:
    """Check a graph, converting values in place ("64" becomes 64, as the real one does).

    `targets` limits the output nodes. Raises whatever a malformed graph causes; the
    server turns that into its bare 500, as the real one does.
    """
    outputs: list[str] = []
    for node_id, node in graph.items():
        node.get("inputs", {}).keys()  # inputs that are not an object: a bare 500, as recorded
        missing = _missing_class(node_id, node, classes)
        if missing is not None:
            return Verdict(missing)
        if classes[node["class_type"]].output_node and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        return Verdict(problem("prompt_no_outputs", "Prompt has no outputs", ""))
    return _Validator(graph, classes, image_exists).verdict(outputs)


def _missing_class(node_id: str, node: Any, classes: dict[str, NodeClass]) -> Problem | None:
    class_type = node.get("class_type")
    if class_type in classes:
        return None
    title = node.get("_meta", {}).get("title", class_type)
    if class_type is None:
        message = (
            f"Node 'ID #{node_id}' has no class_type. "
            "The workflow may be corrupted or a custom node is missing."
        )
    else:
        message = f"Node '{title}' not found. The custom node may not be installed."
    return problem(
        "missing_node_type",
        message,
        f"Node ID '#{node_id}'",
        node_id=node_id,
        class_type=class_type,
        node_title=title,
    )


class _Validator:
    """One pass over one graph; remembers the nodes it has seen."""

    def __init__(
        self, graph: Graph, classes: dict[str, NodeClass], image_exists: Callable[[str], bool]
    ) -> None:
        self._graph = graph
        self._classes = classes
        self._image_exists = image_exists
        self._seen: dict[str, Outcome] = {}
        self._path: list[str] = []

    def verdict(self, outputs: list[str]) -> Verdict:
        good: list[str] = []
        lines: list[str] = []
        node_errors: dict[str, Any] = {}
        for output in outputs:
            valid, reasons = self._output(output)
            if valid:
                good.append(output)
                continue
            lines += [f"{reason['message']}: {reason['details']}" for reason in reasons]
            self._attach(node_errors, output)
        if good:
            return Verdict(None, good, node_errors)
        error = problem(
            "prompt_outputs_failed_validation",
            "Prompt outputs failed validation",
            "\n".join(lines),
        )
        return Verdict(error, [], node_errors)

    def _attach(self, node_errors: dict[str, Any], output: str) -> None:
        for node_id, (valid, reasons) in self._seen.items():
            if valid or not reasons:
                continue
            entry = node_errors.setdefault(
                node_id,
                {
                    "errors": reasons,
                    "dependent_outputs": [],
                    "class_type": self._graph[node_id]["class_type"],
                },
            )
            entry["dependent_outputs"].append(output)

    def _output(self, node_id: str) -> Outcome:
        self._path.clear()
        try:
            return self._node(node_id)
        except Exception as error:  # noqa: BLE001 - so does ComfyUI, and reports it
            reason = problem(
                "exception_during_validation",
                "Exception when validating node",
                str(error),
                exception_type=type(error).__name__,
                traceback=_frames(error),
            )
            self._seen[node_id] = (False, [reason])
            return self._seen[node_id]

    def _node(self, node_id: str) -> Outcome:
        if node_id in self._seen:
            return self._seen[node_id]
        inputs = self._graph[node_id]["inputs"]
        class_type = self._graph[node_id]["class_type"]
        valid, reasons = True, list[Problem]()
        self._path.append(node_id)
        try:
            for name, config in self._classes[class_type].required.items():
                sound, reason = self._input(inputs, name, config)
                valid = valid and sound
                if reason is not None:
                    reasons.append(reason)
        finally:
            self._path.pop()
        if class_type == "LoadImage" and isinstance(inputs.get("image"), str):
            reasons += self._file(inputs["image"])
        # A cycle has already set the verdict of its nodes.
        return self._seen.setdefault(node_id, (valid and not reasons, reasons))

    def _input(self, inputs: Any, name: str, config: list[Any]) -> tuple[bool, Problem | None]:
        if name not in inputs:
            missing = problem(
                "required_input_missing", "Required input is missing", name, input_name=name
            )
            return False, missing
        value = inputs[name]
        if isinstance(value, list):
            return self._link(value, name, config)
        reason = self._value(inputs, name, config)
        return reason is None, reason

    def _link(self, link: list[Any], name: str, config: list[Any]) -> tuple[bool, Problem | None]:
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            bad = problem(
                "bad_linked_input",
                message,
                name,
                input_name=name,
                input_config=config,
                received_value=link,
            )
            return False, bad
        received = self._classes[self._graph[link[0]]["class_type"]].output[link[1]]
        if received != config[0]:
            return False, _mismatch(name, config, received, link)
        if link[0] in self._path:
            self._mark_cycle(link[0])
            return False, None
        try:
            return self._node(link[0])[0], None
        except Exception as error:  # noqa: BLE001 - so does ComfyUI, and reports it
            self._seen[link[0]] = (False, [_inner_exception(error, name, config, link)])
            return False, None

    def _mark_cycle(self, start: str) -> None:
        cycle = self._path[self._path.index(start) :]
        names = [f"{node_id} ({self._graph[node_id]['class_type']})" for node_id in cycle]
        details = " -> ".join([*names, names[0]])
        for node_id in cycle:
            reason = problem(
                "dependency_cycle",
                "Dependency cycle detected",
                details,
                node_id=node_id,
                cycle_nodes=cycle,
            )
            self._seen[node_id] = (False, [reason])

    def _value(self, inputs: dict[str, Any], name: str, config: list[Any]) -> Problem | None:
        kind, options = config[0], config[1] if len(config) > 1 else {}
        value = inputs[name]
        choices = options["options"] if kind == "COMBO" else kind  # two ways to write them
        if isinstance(choices, list):
            if "image_upload" in options or value in choices:
                return None
            return _not_in_list(name, config, choices, value)
        if kind in CONVERTERS:
            try:
                value = inputs[name] = CONVERTERS[kind](value)
            except Exception as error:  # noqa: BLE001 - so does ComfyUI, and reports it
                return _inconvertible(name, config, value, error)
        return _out_of_range(name, config, options, value)

    def _file(self, name: str) -> list[Problem]:
        if self._image_exists(name):
            return []
        details = f"image - Invalid image file: {name}"
        message = "Custom validation failed for node"
        return [problem("custom_validation_failed", message, details, input_name="image")]


def _frames(error: Exception) -> list[str]:
    """Where the node's validation was begun, and where it failed: ComfyUI has no frame between."""
    frames = traceback.format_tb(error.__traceback__)
    return frames if len(frames) < 2 else [frames[0], frames[-1]]


def _mismatch(name: str, config: list[Any], received: str, link: list[Any]) -> Problem:
    return problem(
        "return_type_mismatch",
        "Return type mismatch between linked nodes",
        f"{name}, received_type({received}) mismatch input_type({config[0]})",
        input_name=name,
        input_config=config,
        received_type=received,
        linked_node=link,
    )


def _inner_exception(error: Exception, name: str, config: list[Any], link: list[Any]) -> Problem:
    return problem(
        "exception_during_inner_validation",
        "Exception when validating inner node",
        str(error),
        input_name=name,
        input_config=config,
        exception_message=str(error),
        exception_type=type(error).__name__,
        traceback=_frames(error),
        linked_node=link,
    )


def _not_in_list(name: str, config: list[Any], choices: list[Any], value: Any) -> Problem:
    long = len(choices) > LONG_LIST
    shown = f"(list of length {len(choices)})" if long else str(choices)
    return problem(
        "value_not_in_list",
        "Value not in list",
        f"{name}: '{value}' not in {shown}",
        input_name=name,
        input_config=None if long else config,
        received_value=value,
    )


def _inconvertible(name: str, config: list[Any], value: Any, error: Exception) -> Problem:
    return problem(
        "invalid_input_type",
        f"Failed to convert an input value to a {config[0]} value",
        f"{name}, {value}, {error}",
        input_name=name,
        input_config=config,
        received_value=value,
        exception_message=str(error),
    )


def _out_of_range(
    name: str, config: list[Any], options: dict[str, Any], value: Any
) -> Problem | None:
    low, high = options.get("min"), options.get("max")
    extra = {"input_name": name, "input_config": config, "received_value": value}
    if low is not None and value < low:
        message = f"Value {value} smaller than min of {low}"
        return problem("value_smaller_than_min", message, name, **extra)
    if high is not None and value > high:
        message = f"Value {value} bigger than max of {high}"
        return problem("value_bigger_than_max", message, name, **extra)
    return None
