"""Small elements shared by all pages: plain HTML, styled by ``static/easel.css``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

Handler = Callable[..., Any]
ElementT = TypeVar("ElementT", bound=ui.element)


class Text(TextElement):
    """Text in any tag. The text is never interpreted as HTML."""

    def __init__(self, content: str, classes: str = "", tag: str = "span") -> None:
        super().__init__(tag=tag, text=content)
        self.classes(classes)


def box(classes: str = "", tag: str = "div", **attributes: Any) -> ui.element:
    """A container. Attributes are given with underscores for hyphens: ``aria_label="…"``."""
    return adorn(ui.element(tag).classes(classes), **attributes)


def adorn(element: ElementT, **attributes: Any) -> ElementT:
    """Set attributes as values, so that user text cannot become another attribute."""
    changed = False
    for name, value in attributes.items():
        key = name.rstrip("_").replace("_", "-")
        wanted = None if value is False else value
        if element.props.get(key) == wanted:
            continue
        changed = True
        with element.props.suspend_updates():
            if wanted is None:
                element.props.pop(key, None)
            else:
                element.props[key] = wanted
    if changed:
        element.update()
    return element


def hear_fold(details: ui.element, on_fold: Callable[[bool], None]) -> None:
    """Call it with whether it is open, whenever it is opened or closed."""
    details.on(
        "toggle",
        lambda event: on_fold(event.args == "open"),
        js_handler="(e) => emit(e.newState)",
    )


def show_if(element: ui.element, shown: object) -> None:
    """Show an element, or hide it."""
    element.classes(add="" if shown else "is-away", remove="is-away" if shown else "")


def icon(name: str) -> ui.element:
    """A drawing from the style sheet; its meaning is in the label next to it."""
    return box(f"icon icon-{name}", "span", aria_hidden="true")


def button(
    label: str,
    on_click: Handler | None = None,
    *,
    icon_name: str | None = None,
    classes: str = "",
    bare: bool = False,
    key: str | None = None,
    **attributes: Any,
) -> ui.element:
    """A button. ``bare`` shows the icon alone; ``key`` is the keyboard shortcut that presses it."""
    made = box(f"btn {classes}", "button", type="button", data_key=key, **attributes)
    if bare:
        adorn(made, aria_label=label, title=f"{label} ({key})" if key else label)
        made.classes("btn-bare")
    _face(made, label, icon_name, bare=bare)
    if on_click is not None:
        made.on("click", on_click, args=[])
    return made


def link(
    label: str,
    href: str,
    *,
    icon_name: str | None = None,
    classes: str = "",
    bare: bool = False,
    key: str | None = None,
    **attributes: Any,
) -> ui.element:
    """A link that looks like a button."""
    made = box(f"btn {classes}", "a", href=href, data_key=key, **attributes)
    if bare:
        adorn(made, aria_label=label, title=f"{label} ({key})" if key else label)
        made.classes("btn-bare")
    _face(made, label, icon_name, bare=bare)
    return made


def _face(made: ui.element, label: str, icon_name: str | None, *, bare: bool) -> None:
    with made:
        if icon_name is not None:
            icon(icon_name)
        if not bare:
            Text(label)


def image(url: str, alt: str, **attributes: Any) -> ui.element:
    """An image by its URL: its bytes never go through the page's websocket."""
    return box("", "img", src=local(url), alt=alt, decoding="async", **attributes)


def local(url: str) -> str:
    """Returns one of Easel's URLs without the host, so that it works under any host name."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def meter(label: str) -> ui.element:
    """A progress bar; ``set_meter`` sets it."""
    bar = box("meter", role="progressbar", aria_label=label, aria_valuemin=0, aria_valuemax=100)
    with bar:
        box("meter-fill")
    return bar


def set_meter(bar: ui.element, percent: float | None) -> None:
    """Set a progress bar; None means unknown."""
    adorn(bar, aria_valuenow=None if percent is None else round(percent))
    bar.style(f"--value: {0 if percent is None else percent:.1f}%")
