"""A dialog that is built when it is wanted, and gone when it is closed."""

from __future__ import annotations

from nicegui import ui

from web.parts.elements import Text, adorn, box, button


class Sheet:
    """Fill ``body``, then ``open`` it. The browser keeps the focus inside until it is closed."""

    def __init__(self, name: str, classes: str = "") -> None:
        # Of the page, not of what asked for it: that may be built anew while the sheet is open.
        with ui.context.client.content:
            self._dialog = box(f"sheet {classes}", "dialog")
        self._dialog.on("close", self._dialog.delete, args=[])
        with self._dialog:
            with box("sheet-head"):
                head = Text(name, "title", "h2")
                button("Close", self.close, icon_name="close", bare=True, classes="btn-quiet")
            self.body = box("sheet-body")
        adorn(self._dialog, aria_labelledby=head.html_id)

    def open(self) -> None:
        """Show it."""
        ui.run_javascript(f"document.getElementById('{self._dialog.html_id}').showModal()")

    def close(self) -> None:
        """Close it, and forget it."""
        ui.run_javascript(f"document.getElementById('{self._dialog.html_id}')?.close()")
