"""The field of a mask: a file like others, shown as a layer over the image that it is for."""

from __future__ import annotations

from nicegui import ui

from core.wording import mask_misfit
from web.forms.situation import Situation
from web.forms.upload_field import UploadField, address_of
from web.parts.wording import sentence


class MaskLayer(ui.element, component="../static/mask_layer.js"):
    """The part of an image that its mask lets be drawn anew, tinted.

    ``on_sizes`` gets the sizes of mask and image, in pixels: ``512 × 512``.
    """

    def __init__(self, label: str) -> None:
        super().__init__()
        self.props["label"] = label


class MaskField(UploadField):
    """``suit`` tells it which image it is for, and whether it is inverted."""

    _layer: MaskLayer | None = None
    _form: Situation | None = None

    def suit(self, form: Situation) -> None:
        """Follow the form's start image."""
        self._form = form
        self._show_layer()

    def _build_picture(self, address: str | None) -> None:
        if address is None:
            super()._build_picture(address)
            return
        self._layer = MaskLayer(self._label).classes("mask-layer")
        self._layer.props["mask"] = address
        self._layer.on("sizes", lambda event: self._compare(*map(str, event.args)))
        self._show_layer()

    def _clear(self) -> None:
        self._layer = None
        super()._clear()

    def _show_layer(self) -> None:
        if self._layer is None or self._form is None:
            return
        one = self._form.workflow.of_role("init_image")
        chosen = self._form.values.get(one.name) if one is not None else None
        picture = address_of(chosen) if isinstance(chosen, str) else None
        inverted = bool(self._form.values.get("mask_invert"))
        if (self._layer.props.get("start"), self._layer.props.get("invert")) != (
            picture,
            inverted,
        ):
            self._layer.props["start"] = picture
            self._layer.props["invert"] = inverted
            self._layer.update()

    def _compare(self, mask: str, picture: str) -> None:
        """Say at once what the request would be refused for."""
        self.refuse("" if mask == picture else sentence(mask_misfit(mask, picture)))
