"""The values of a request as rows for people: groups and lists in words, files as pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.requests import ResolvedRequest
from core.wording import model_name
from core.workflows.declaration import Input
from web.forms.labels import label_of
from web.forms.wording import CHOICES
from web.parts.elements import Text, adorn, box, image
from web.parts.references import file_url, thumb_url
from web.parts.wording import title

_SHOWN: Final = 300
_LINES_MAX: Final = 64
_PICTURES: Final = ("image", "mask")


@dataclass(frozen=True)
class Line:
    """A part of a value: words, and the references to files among them that are pictures."""

    text: str = ""
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A value under its name."""

    name: str
    lines: tuple[Line, ...]


def row(name: str, text: str) -> Row:
    """Returns a row of words."""
    return Row(name, (Line(text),))


def input_rows(
    request: ResolvedRequest, inputs: Sequence[Input], without: Iterable[str] = ()
) -> Iterator[Row]:
    """Yields what each input has, as far as it says anything.

    What stands above is left out: the prompts, and the inputs ``without``. So is what is off.
    """
    declared = {one.name: one for one in inputs}
    texts = {request.prompt, request.negative_prompt}
    shown = {name: value for name, value in request.inputs.items() if name not in {*without}}
    for name, value in shown.items():
        one = declared.get(name)
        is_off = value is False and one is not None and one.default is False
        if value is None or is_off or (isinstance(value, str) and value in texts):
            continue
        yield Row(label_of(one) if one is not None else name, _lines(one, name, value))


def build_rows(rows: Iterable[Row]) -> None:
    """Show them as terms and their descriptions."""
    for one in rows:
        with box("", "div"):
            Text(one.name, tag="dt")
            if len(one.lines) == 1 and not one.lines[0].pictures:
                Text(one.lines[0].text, tag="dd")
            else:
                _build_lines(one)


def _build_lines(shown: Row) -> None:
    with box("", "dd"), box("value-lines", "ul"):
        for line in shown.lines:
            with box("value-line", "li"):
                for reference in line.pictures:
                    _build_picture(shown.name, reference)
                if line.text:
                    adorn(Text(line.text), dir="auto")


def _build_picture(name: str, reference: str) -> None:
    url, thumb = file_url(reference), thumb_url(reference)
    if url is not None and thumb is not None:
        with box("value-picture", "a", href=url, target="_blank", rel="noopener"):
            image(thumb, name, loading="lazy")


def _lines(one: Input | None, path: str, value: Any) -> tuple[Line, ...]:
    if one is not None and one.items is not None and isinstance(value, list):
        inner = one.items
        found = [_line(inner, f"{path}.*", each) for each in value[:_LINES_MAX]]
        if _is_picture(inner):  # side by side
            return (Line(pictures=tuple(p for line in found for p in line.pictures)),)
        return tuple(found) or (Line("none"),)
    return (_line(one, path, value),)


def _line(one: Input | None, path: str, value: Any) -> Line:
    if one is None:
        return Line(_words(value))
    if one.fields is not None and isinstance(value, Mapping):
        return _group(one.fields, path, value)
    if _is_picture(one) and file_url(value) is not None:
        return Line(pictures=(value,))
    if one.type == "model" and isinstance(value, str):
        return Line(model_name(value))
    if one.type == "choice" and isinstance(value, str):
        return Line(CHOICES.get(path, {}).get(value) or _words(value))
    return Line(_words(value))


def _group(fields: Sequence[Input], path: str, value: Mapping[str, Any]) -> Line:
    """Returns a group's values on one line: a name as it is, the rest with what it is called."""
    said: list[str] = []
    pictures: list[str] = []
    for field in fields:
        if value.get(field.name) is None:
            continue
        inner = _line(field, f"{path}.{field.name}", value[field.name])
        pictures += inner.pictures
        if inner.text:
            is_name = field.required and field.type in ("model", "text", "choice")
            said.append(inner.text if is_name else f"{label_of(field)} {inner.text}")
    return Line(title(" · ".join(said), _SHOWN), tuple(pictures))


def _is_picture(one: Input) -> bool:
    return one.type in _PICTURES


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return title(said, _SHOWN)
