"""The memory of pages that are deleted."""

from __future__ import annotations

from nicegui import Client


def release(client: Client) -> None:
    """Let most of a page be freed as it is deleted, not by the garbage collector later.

    A page has thousands of objects: after some dozen pages that are deleted in a row, the collector
    would stop the process for half a second. Three quarters of them wait for it only because
    NiceGUI's classes, style and props refer to themselves, each through the handler of its changes.
    """
    for element in client.elements.values():
        for observed in (element.classes, element.style, element.props):
            # NiceGUI's own name; a test fails when it is another one.
            vars(observed).get("_change_handlers", []).clear()
