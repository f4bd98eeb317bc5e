"""Nodes that exist on ComfyUI's page only: notes, reroutes, primitives, broadcasters."""

from __future__ import annotations

from typing import Final

PRIMITIVE: Final = "PrimitiveNode"
REROUTES: Final = frozenset({"Reroute", "Reroute (rgthree)"})
GETTERS: Final = frozenset({"GetNode", "easy getNode"})
SETTERS: Final = frozenset({"SetNode", "easy setNode"})
BROADCASTERS: Final = frozenset(
    {
        "Anything Everywhere",
        "Anything Everywhere3",
        "Anything Everywhere?",
        "Prompts Everywhere",
        "Seed Everywhere",
    }
)
_HELPERS: Final = frozenset(
    {
        "Note",
        "MarkdownNote",
        "Note Plus (mtb)",
        "Label (rgthree)",
        "Bookmark (rgthree)",
        "Fast Groups Bypasser (rgthree)",
        "Fast Groups Muter (rgthree)",
        "Fast Bypasser (rgthree)",
        "Fast Muter (rgthree)",
        "Fast Actions Button (rgthree)",
        "Mute / Bypass Relay (rgthree)",
        "Mute / Bypass Repeater (rgthree)",
        "Node Collector (rgthree)",
        "Node Combiner (rgthree)",
        "Random Unmuter (rgthree)",
    }
)
PAGE_ONLY: Final = _HELPERS | REROUTES | GETTERS | SETTERS | BROADCASTERS | {PRIMITIVE}
"""All of them: no graph in API format contains one."""


def is_group_node(class_type: str) -> bool:
    """Whether it is a group node: an old way of folding nodes, gone from newer ComfyUIs."""
    return class_type.startswith(("workflow>", "workflow/"))
