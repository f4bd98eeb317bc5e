"""Checks a graph against a ComfyUI's node classes, by the rules of its ``POST /prompt``."""

from comfy.importing.checking.check import check_graph

__all__ = ["check_graph"]
