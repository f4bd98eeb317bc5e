"""Where the file of a workflow is dropped, chosen or pasted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from nicegui import events, ui
from nicegui.elements.upload_files import FileUpload

_ACCEPT: Final = (
    ".json,.png,.webp,.jpg,.jpeg,.mp4,.webm,.mkv,.flac,.ogg,.opus,.mp3,.glb,"
    "application/json,image/*,video/*,audio/*"
)
_LABEL: Final = "Drop a workflow here, or choose a file: JSON, or an image that ComfyUI saved"


class WorkflowFile(ui.upload, component="../static/workflow_file.js"):
    """A zone for one file; ``on_file`` gets the upload, ``on_fail`` why there is none."""

    def __init__(
        self,
        most_bytes: int,
        on_file: Callable[[FileUpload], Awaitable[None]],
        on_fail: Callable[[str], None],
    ) -> None:
        super().__init__(label=_LABEL)
        self.props.update({"accept": _ACCEPT, "most": most_bytes})

        async def came(event: events.UploadEventArguments) -> None:
            await on_file(event.file)

        self.on_upload(came)
        self.on("fail", lambda event: on_fail(str(event.args)[:200]))
