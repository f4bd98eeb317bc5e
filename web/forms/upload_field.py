"""An input that takes a file: a zone to drop it on, then what was chosen, and how to remove it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from nicegui import ui

from api.uploads.documents import URL
from core.artefacts import EXTENSIONS
from core.ids import parse_generation_id
from core.uploads import UPLOAD_KINDS, parse_upload_id, takes
from core.workflows.declaration import Input, InputType
from web.parts.elements import Text, adorn, box, button, icon, image, show_if
from web.parts.wording import sentence

_ACCEPT: Final[dict[InputType, str]] = {
    "image": "image/*",
    "mask": "image/*",
    "video": "video/*",
    "audio": "audio/*",
    "model3d": ".glb,.gltf,.obj,.stl,.fbx,.ply,.usdz",
}
_ANY: Final = ",".join(f".{each}" for each in EXTENSIONS)
_NO_IMAGE: Final = "This is not an image. Choose a PNG, JPEG, WebP, GIF, BMP or AVIF file."
_MISFITS: Final[dict[InputType, str]] = {
    "image": _NO_IMAGE,
    "mask": _NO_IMAGE,
    "video": "This is not a video. Choose an MP4, MOV, WebM, MKV or AVI file.",
    "audio": "This is not a sound. Choose a WAV, FLAC, MP3, OGG, M4A or AAC file.",
    "model3d": "This is not a 3D model. Choose a GLB, GLTF, OBJ, STL, FBX, PLY or USDZ file.",
}
_OTHER: Final = "Easel takes no file of this kind: choose an image, video, sound, 3D model or text."

Pick = Callable[[Input, Callable[[str], None]], Awaitable[None]]
"""Lets the visitor choose an earlier artefact; the function gets its reference."""


class SentFile(ui.element, component="../static/sent_file.js"):
    """A zone that uploads one file that the input takes.

    ``on_sent`` gets the upload's id, ``on_fail`` what is wrong.
    """

    def __init__(
        self,
        label: str,
        one: Input,
        on_sent: Callable[[str], None],
        on_fail: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.props.update(
            label=label,
            accept=_ACCEPT.get(one.type, _ANY),
            kinds=[kind for kind in UPLOAD_KINDS if takes(one.type, kind)],
            misfit=_MISFITS.get(one.type, _OTHER),
        )

        def sent(upload_id: str) -> None:
            if parse_upload_id(upload_id) is not None:
                on_sent(upload_id)

        self.on("sent", lambda event: sent(str(event.args)))
        self.on("fail", lambda event: on_fail(sentence(str(event.args)[:300])))


class UploadField:
    """Holds a reference: ``upload:<id>``, ``artefact:<id>``, or none."""

    def __init__(
        self,
        one: Input,
        label: str,
        value: str | None,
        on_value: Callable[[str | None], None],
        pick: Pick | None = None,
    ) -> None:
        self._input = one
        self._pick = pick
        self._label = label
        self._shows_picture = one.type in ("image", "mask")
        self._on_value = on_value
        with box("field upload-field", role="group", aria_label=label):
            Text(label, "label")
            self._zone = SentFile(
                f"Drop {_article(one.type)} here, or choose one",
                one,
                self._sent,
                self.refuse,
            )
            with box("upload-more") as self._more:
                if pick is not None:
                    button("From history…", self._choose, classes="btn-small")
                if one.help:
                    Text(one.help[:200], "muted small")
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
        self._clear()
        if not value:
            return
        with self._chosen:
            self._build_picture(address_of(value) if self._shows_picture else None)
            Text("Chosen" if value.startswith("upload:") else "From the history", "chosen-name")
            box("grow")
            button(
                f"Remove: {self._label}",
                lambda: self._change(None),
                icon_name="close",
                bare=True,
            )

    def _build_picture(self, address: str | None) -> None:
        _build_picture(address, self._label)

    def _clear(self) -> None:
        self._chosen.clear()


class UploadsField:
    """Holds a list of references: files are added one after another."""

    def __init__(
        self,
        one: Input,
        label: str,
        values: Sequence[str],
        on_values: Callable[[list[str]], None],
        pick: Pick | None = None,
        most: int | None = None,
        said: str | None = None,
    ) -> None:
        self._most = most
        self._label = label
        self._values = list(values)
        self._on_values = on_values
        self._shows_picture = one.type in ("image", "mask")
        with box("field upload-field", role="group", aria_label=label):
            Text(label, "label")
            self._chosen = box("chosen-many", "ol")
            zone = f"Drop {_article(one.type)} here to add it, or choose one"
            with box("upload-zone") as self._zone:
                SentFile(zone, one, self._sent, self.refuse)
                with box("upload-more"):
                    if pick is not None:
                        button("From history…", lambda: pick(one, self._add), classes="btn-small")
                    if said:
                        Text(said[:200], "muted small")
            self._why = Text("", "why is-away", "p")
            self._error = adorn(Text("", "field-note is-bad is-away", "p"), role="alert")
        self._show()

    def explain(self, why: str) -> None:
        """Say why they change nothing; an empty text says nothing."""
        self._why.text = why
        show_if(self._why, why)

    def refuse(self, text: str) -> None:
        """Say what is wrong with them; an empty text says nothing."""
        self._error.text = text
        show_if(self._error, text)

    def _sent(self, upload_id: str) -> None:
        self._add(f"upload:{upload_id}")

    def _add(self, value: str) -> None:
        if value not in self._values:
            self._put([*self._values, value])

    def _move_up(self, place: int) -> None:
        values = list(self._values)
        values[place - 1], values[place] = values[place], values[place - 1]
        self._put(values)

    def _remove(self, place: int) -> None:
        self._put([value for at, value in enumerate(self._values) if at != place])

    def _put(self, values: list[str]) -> None:
        self._values = values
        self.refuse("")
        self._on_values(list(values))
        self._show()

    def _show(self) -> None:
        show_if(self._chosen, self._values)
        show_if(self._zone, self._most is None or len(self._values) < self._most)
        self._chosen.clear()
        with self._chosen:
            for place, value in enumerate(self._values):
                self._build_one(place, value)

    def _build_one(self, place: int, value: str) -> None:
        named = f"{place + 1} of {self._label}"
        with box("chosen-one", "li"):
            Text(f"{place + 1}", "muted small chosen-number")
            _build_picture(address_of(value) if self._shows_picture else None, named)
            box("grow")
            if place:
                up = partial(self._move_up, place)
                button(f"Move up {named}", up, icon_name="up", bare=True, classes="btn-quiet")
            remove = partial(self._remove, place)
            button(f"Remove {named}", remove, icon_name="close", bare=True)


def _build_picture(address: str | None, label: str) -> None:
    if address is not None:
        image(address, label).classes("chosen-thumb")
    else:
        icon("file")


def address_of(value: str) -> str | None:
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
