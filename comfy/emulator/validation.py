"""Validation of a submitted graph, in ComfyUI's words, those of 0.24 and later, and JSON shapes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .catalogue import NodeClass
from .expansion import Field, fields
from .models import choices
from .refusals import (
    Problem,
    frames,
    inconvertible,
    inner_exception,
    mismatch,
    not_in_list,
    out_of_range,
    problem,
)

Graph = dict[str, Any]
Outcome = tuple[bool, list[Problem]]

ANY = ("*", "COMFY_MATCHTYPE_V3")
"""Types that go with every other; what really fits a match type is the page's affair."""
CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "INT": int,
    "FLOAT": float,
    "STRING": str,
    "BOOLEAN": bool,
}
FILES = {
    "LoadImage": ("image", "image"),
    "LoadImageMask": ("image", "image"),
    "LoadImageOutput": ("image", "image"),
    "LoadAudio": ("audio", "audio"),
    "LoadVideo": ("file", "video"),
}
"""Classes that look for a file already now: the input that names it, and what it is called."""


@dataclass
class Verdict:
    """The result: `error` None means accepted.

    `node_errors` may be filled even then: one good output is enough, and the bad
    ones are dropped silently (a real trap).
    """

    error: Problem | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def validate(
    graph: Graph,
    classes: Mapping[str, NodeClass],
    file_exists: Callable[[str], bool],
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
    return _Validator(graph, classes, file_exists).verdict(outputs)


def _missing_class(node_id: str, node: Any, classes: Mapping[str, NodeClass]) -> Problem | None:
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
        self, graph: Graph, classes: Mapping[str, NodeClass], file_exists: Callable[[str], bool]
    ) -> None:
        self._graph = graph
        self._classes = classes
        self._file_exists = file_exists
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
                traceback=frames(error),
            )
            self._seen[node_id] = (False, [reason])
            return self._seen[node_id]

    def _node(self, node_id: str) -> Outcome:
        if node_id in self._seen:
            return self._seen[node_id]
        inputs = self._graph[node_id]["inputs"]
        class_type = self._graph[node_id]["class_type"]
        node_class = self._classes[class_type]
        valid, reasons = True, list[Problem]()
        self._path.append(node_id)
        try:
            for declared in fields(node_class.inputs, inputs):
                sound, reason = self._input(inputs, declared, node_class)
                valid = valid and sound
                if reason is not None:
                    reasons.append(reason)
        finally:
            self._path.pop()
        reasons += self._file(class_type, inputs)
        # A cycle has already set the verdict of its nodes.
        return self._seen.setdefault(node_id, (valid and not reasons, reasons))

    def _input(
        self, inputs: Any, declared: Field, node_class: NodeClass
    ) -> tuple[bool, Problem | None]:
        name, config = declared.name, declared.config
        if name not in inputs:
            if not declared.required:
                return True, None
            missing = problem(
                "required_input_missing", "Required input is missing", name, input_name=name
            )
            return False, missing
        value = inputs[name]
        if isinstance(value, list):
            return self._link(value, name, config)
        if isinstance(value, dict) and "__value__" in value:
            inputs[name] = value["__value__"]
        reason = _value_problem(inputs, declared, node_class)
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
        if not fits(received, config[0]):
            return False, mismatch(name, config, received, link)
        if link[0] in self._path:
            self._mark_cycle(link[0])
            return False, None
        try:
            return self._node(link[0])[0], None
        except Exception as error:  # noqa: BLE001 - so does ComfyUI, and reports it
            self._seen[link[0]] = (False, [inner_exception(error, name, config, link)])
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

    def _file(self, class_type: str, inputs: dict[str, Any]) -> list[Problem]:
        field_name, kind = FILES.get(class_type, ("", ""))
        name = inputs.get(field_name)
        if not isinstance(name, str) or self._file_exists(name):
            return []
        details = f"{field_name} - Invalid {kind} file: {name}"
        message = "Custom validation failed for node"
        return [problem("custom_validation_failed", message, details, input_name=field_name)]


def fits(received: Any, wanted: Any) -> bool:
    """Whether an output of one type may feed an input of another; types may be "A,B" lists."""
    if received == wanted or received in ANY or wanted in ANY:
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return False
    offered, taken = _types(received), _types(wanted)
    return "*" in offered | taken or bool(offered & taken)


def _types(text: str) -> set[str]:
    return {part.strip() for part in text.split(",")}


def _value_problem(
    inputs: dict[str, Any], declared: Field, node_class: NodeClass
) -> Problem | None:
    """What is wrong with a value, which is converted in place."""
    name, config = declared.name, declared.config
    value = inputs[name]
    convert = CONVERTERS.get(config[0]) if isinstance(config[0], str) else None
    if convert is not None:
        try:
            value = inputs[name] = convert(value)
        except Exception as error:  # noqa: BLE001 - so does ComfyUI, and reports it
            return inconvertible(name, config, value, error)
    reason = out_of_range(name, config, declared.options, value)
    offered = choices(config)
    if reason is not None or offered is None or node_class.takes_any(name, config):
        return reason
    is_list = isinstance(value, list) and bool(declared.options.get("multiselect"))
    is_wrong = [one for one in (value if is_list else [value]) if one not in offered]
    return not_in_list(name, config, offered, value) if is_wrong else None
