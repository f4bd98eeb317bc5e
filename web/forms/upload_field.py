"""An input that takes a file: a zone to drop it on, then what was chosen, and how to remove it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from nicegui import ui

from api.uploads.documents import URL
from core.artefacts import EXTENSIONS
from core.ids import parse_generation_id
from core.uploads import parse_upload_id
from core.workflows.declaration import Input, InputType
from web.parts.elements import Text, adorn, box, button, icon, image, show_if

_ACCEPT: Final[dict[InputType, str]] = {
    "image": "image/*",
    "mask": "image/*",
    "video": "video/*",
    "audio": "audio/*",
    "model3d": ".glb,.gltf,.obj,.stl,.fbx,.ply,.usdz",
}


class SentFile(ui.element, component="../static/sent_file.js"):
    """A zone that uploads one file; ``on_sent`` gets the upload's id, ``on_fail`` what is wrong."""

    def __init__(
        self,
        label: str,
        accept: str,
        on_sent: Callable[[str], None],
        on_fail: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.props.update({"label": label, "accept": accept})

        def sent(upload_id: str) -> None:
            if parse_upload_id(upload_id) is not None:
                on_sent(upload_id)

        self.on("sent", lambda event: sent(str(event.args)))
        self.on("fail", lambda event: on_fail(str(event.args)[:300]))


class UploadField:
    """Holds a reference: ``upload:<id>``, ``artefact:<id>``, or none."""

    def __init__(
        self,
        one: Input,
        label: str,
        value: str | None,
        on_value: Callable[[str | None], None],
        pick: Callable[[Input, Callable[[str], None]], Awaitable[None]] | None = None,
    ) -> None:
        self._input = one
        self._pick = pick
        self._label = label
        self._shows_picture = one.type in ("image", "mask")
        self._on_value = on_value
        accept = _ACCEPT.get(one.type, ",".join(f".{each}" for each in EXTENSIONS))
        with box("field upload-field", role="group", aria_label=label):
            Text(label, "label")
            self._zone = SentFile(
                f"Drop {_article(one.type)} here, or choose one", accept, self._sent, self.refuse
            )
            with box("upload-more") as self._more:
                if pick is not None:
                    button("From history…", self._choose, classes="btn-small")
            self._chosen = box("chosen")
            self._error = adorn(Text("", "field-note is-bad is-away", "p"), role="alert")
        self._show(value)

    def refuse(self, text: str) -> None:
        """Say what is wrong with it; an empty text says nothing."""
        self._error.text = text
        show_if(self._error, text)

    def _sent(self, upload_id: str) -> None:
        self._change(f"upload:{upload_id}")

    async def _choose(self) -> None:
        if self._pick is not None:
            await self._pick(self._input, self._change)

    def _change(self, value: str | None) -> None:
        self.refuse("")
        self._on_value(value)
        self._show(value)

    def _show(self, value: str | None) -> None:
        show_if(self._zone, not value)
        show_if(self._more, not value)
        show_if(self._chosen, value)
        self._chosen.clear()
        if not value:
            return
        with self._chosen:
            address = _address(value)
            if self._shows_picture and address is not None:
                image(address, self._label).classes("chosen-thumb")
            else:
                icon("file")
            Text("Chosen" if value.startswith("upload:") else "From the history", "chosen-name")
            box("grow")
            button(
                f"Remove: {self._label}",
                lambda: self._change(None),
                icon_name="close",
                bare=True,
            )


def _address(value: str) -> str | None:
    """Returns the URL of the file that a reference means."""
    kind, _, found = value.partition(":")
    if kind == "upload" and parse_upload_id(found) is not None:
        return f"{URL}/{found}"
    if kind == "artefact" and (artefact_id := parse_generation_id(found)) is not None:
        return f"/api/v1/artefacts/{artefact_id}"
    return None


def _article(kind: InputType) -> str:
    named = {"image": "an image", "audio": "a sound", "model3d": "a 3D model"}
    return named.get(kind, f"a {kind}")
