"""What a visitor does with a page that has no browser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from nicegui import ui
from nicegui.elements.mixins.validation_element import ValidationElement
from nicegui.elements.mixins.value_element import ValueElement
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction

from web.parts.elements import Text

PATIENT: Final = 200
"""Tenths of a second that anything is waited for: only a test that fails ever waits so long."""
DEADLINE_S: Final = 20


def elements(user: User) -> list[ui.element]:
    assert user.client is not None
    return list(user.client.elements.values())


async def press(user: User, label: str) -> None:
    """Click the button that says ``label`` or is called so, as soon as it is there."""
    async with asyncio.timeout(DEADLINE_S):
        while (button := _button(user, label)) is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.02)
    UserInteraction(user, {button}, None).click()


def _button(user: User, label: str) -> ui.element | None:
    for element in elements(user):
        says = any(isinstance(child, Text) and child.text == label for child in element)
        if element.tag == "button" and (says or element.props.get("aria-label") == label):
            return element
    return None


def field(user: User, label: str) -> ValidationElement[Any]:
    """The field with that label."""
    for element in elements(user):
        if isinstance(element, ValidationElement) and element.props.get("label") == label:
            return element
    raise AssertionError(f"no field is called {label}")


def write(user: User, label: str, text: Any) -> None:
    """Put a value into the field with that label."""
    assert user.client is not None
    with user.client:
        field(user, label).value = text


def write_to(user: User, name: str, value: Any) -> None:
    """Put a value into the field that is called so, without a label to be seen."""
    assert user.client is not None
    for element in elements(user):
        if isinstance(element, ValueElement) and element.props.get("aria-label") == name:
            with user.client:
                element.value = value
            return
    raise AssertionError(f"no field is called {name}")


def tick(user: User, label: str) -> None:
    """Tick the box with that label."""
    assert user.client is not None
    for element in elements(user):
        if element.tag == "label" and any(
            isinstance(child, Text) and child.text == label for child in element
        ):
            [box] = [child for child in element if child.tag == "input"]
            UserInteraction(user, {box}, None).trigger("change", True)
            return
    raise AssertionError(f"no box is called {label}")


def texts(user: User, css_class: str) -> list[str]:
    """What the elements with that class say."""
    return [
        element.text
        for element in elements(user)
        if isinstance(element, Text) and css_class in element.classes
    ]


async def until(condition: Callable[[], bool]) -> None:
    """Look until it is so; the deadline is only for what never comes."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)
