"""What is wrong with a graph, as one ComfyUI sees it. All of it is values with names in them."""

from __future__ import annotations

from dataclasses import dataclass

from comfy.importing.marks import Place


@dataclass(frozen=True)
class GraphProblem:
    """One thing for which ComfyUI would refuse the graph.

    ``code`` is ComfyUI's own error type (``value_not_in_list``, ``required_input_missing``, …);
    ``input`` is empty when the whole node is to blame, ``near`` holds similar choices, best first.
    """

    code: str
    node_id: str
    class_type: str
    input: str
    message: str
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"{self.class_type} (node {self.node_id})"
        return (
            f"{place}, input {self.input}: {self.message}"
            if self.input
            else (f"{place}: {self.message}")
        )


@dataclass(frozen=True)
class MissingClass:
    """A node class that the ComfyUI does not have. ``pack`` is empty where no file names it."""

    class_type: str
    node_ids: tuple[str, ...]
    titles: tuple[str, ...] = ()
    pack: str = ""
    version: str = ""

    @property
    def is_core(self) -> bool:
        """Whether ComfyUI itself has it in another version: this one is too old, or too new."""
        return self.pack == "comfy-core"


@dataclass(frozen=True)
class MissingModel:
    """A model file that the ComfyUI does not have.

    ``folder`` is the folder of models it belongs into and ``url`` where the file says it is from,
    both empty when unknown; ``near`` are similar files that are there, best first.
    """

    name: str
    places: tuple[Place, ...]
    folder: str = ""
    url: str = ""
    near: tuple[str, ...] = ()


@dataclass(frozen=True)
class PaidClass:
    """A node class that calls a paid service."""

    class_type: str
    node_ids: tuple[str, ...]


@dataclass(frozen=True)
class Notice:
    """Something to tell the user that stops nothing. ``node_id`` is empty for the whole file.

    ``code`` is, for example, "converted", "filled_from_default", "unconnected", "group_node",
    "group_node_values", "constant", "secret_left_out", "save_node_appended",
    "values_without_names" or "computed_on_page".
    """

    code: str
    message: str
    node_id: str = ""
    input: str = ""


@dataclass(frozen=True)
class Findings:
    """What one ComfyUI lacks for a graph, or refuses about it."""

    problems: tuple[GraphProblem, ...] = ()
    missing_classes: tuple[MissingClass, ...] = ()
    missing_models: tuple[MissingModel, ...] = ()
    paid_classes: tuple[PaidClass, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether the ComfyUI would accept and could execute the graph; paid classes aside."""
        return not (self.problems or self.missing_classes or self.missing_models)
