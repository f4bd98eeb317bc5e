"""Where a file is dropped or chosen: sent over HTTP, as uploads are, not through the socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import events, ui
from nicegui.elements.upload_files import FileUpload


class Drop(ui.upload, component="../static/drop.js"):
    """A zone for one file; ``on_file`` gets the upload, ``on_fail`` why there is none."""

    def __init__(
        self,
        label: str,
        accept: str,
        most_bytes: int,
        on_file: Callable[[FileUpload], Awaitable[None]],
        on_fail: Callable[[str], None],
    ) -> None:
        super().__init__(label=label)
        self.props.update({"accept": accept, "most": most_bytes})

        async def came(event: events.UploadEventArguments) -> None:
            await on_file(event.file)

        self.on_upload(came)
        self.on("fail", lambda event: on_fail(str(event.args)[:200]))
