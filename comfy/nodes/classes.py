"""One node class of a ComfyUI."""

from __future__ import annotations

from dataclasses import dataclass

from comfy.nodes.inputs import InputSpec


@dataclass(frozen=True)
class NodeOutput:
    """One output of a node class. ``is_list`` says that it gives a list of values."""

    type: str
    name: str
    is_list: bool = False


@dataclass(frozen=True)
class NodeClass:
    """What one node class takes and gives. ``inputs`` are in ComfyUI's order, required first.

    ``module`` is the Python module ("custom_nodes.pack" for a pack's).
    """

    name: str
    label: str
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[NodeOutput, ...] = ()
    output_node: bool = False
    api_node: bool = False
    deprecated: bool = False
    takes_lists: bool = False
    category: str = ""
    module: str = ""

    def input(self, name: str) -> InputSpec | None:
        """The input of that name at the top level, None if there is none."""
        return next((spec for spec in self.inputs if spec.name == name), None)

    @property
    def is_paid(self) -> bool:
        """Whether it calls a paid service, as far as ComfyUI says."""
        return self.api_node or self.category.lower().startswith(("api node", "partner"))

    @property
    def pack(self) -> str:
        """The folder of the pack that it is from; empty for ComfyUI's own."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "custom_nodes" and len(parts) > 1 else ""
