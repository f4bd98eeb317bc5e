"""Where the file of a workflow is dropped, chosen or pasted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from nicegui.elements.upload_files import FileUpload

from web.parts.drop import Drop
from web.parts.elements import box, button
from web.parts.fields import folded

_ACCEPT: Final = (
    ".json,.png,.webp,.jpg,.jpeg,.mp4,.webm,.mkv,.flac,.ogg,.opus,.mp3,.glb,"
    "application/json,image/*,video/*,audio/*"
)
_LABEL: Final = "Drop a workflow here, or choose a file: JSON, or an image that ComfyUI saved"
_PASTE: Final = """() => {
  const text = getHtmlElement(%d).value;
  const file = new File([text], "pasted.json", { type: "application/json" });
  if (text.trim()) getElement(%d).send(file);
}"""


def build_workflow_file(
    most_bytes: int,
    on_file: Callable[[FileUpload], Awaitable[None]],
    on_fail: Callable[[str], None],
) -> None:
    """Build the zone for a file, and a field for JSON, which is sent as a file is.

    ``on_file`` gets the upload, ``on_fail`` why there is none.
    """
    with box("workflow-file"):
        zone = Drop(_LABEL, _ACCEPT, most_bytes, on_file, on_fail)
        with folded("Paste JSON"):
            named = "JSON of a workflow"
            text = box("paste", "textarea", rows=6, spellcheck="false", aria_label=named)
            with box(""):
                button("Read it").on("click", js_handler=_PASTE % (text.id, zone.id))
