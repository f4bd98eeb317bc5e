from __future__ import annotations

from dataclasses import replace

import pytest
from nicegui import ui
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction

import web.forms.options
from api.context import Context
from tests.web.conftest import CATALOGUE
from tests.web.visiting import elements, until
from web.parts.fields import OFFERED


def models_offered(user: User) -> list[str]:
    """What the picker of models offers."""
    return list(the_picker(user).options)


def the_picker(user: User) -> ui.select:
    [picker] = [
        one
        for one in elements(user)
        if isinstance(one, ui.select)
        and {one.props.get("label"), one.props.get("aria-label")} & {"Model", "Models"}
    ]
    return picker


@pytest.mark.parametrize("path", ["/", "/bulk", "/schedules"])
async def test_models_are_offered_as_soon_as_comfyui_answers(
    user: User, context: Context, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.forms.options, "AGAIN_S", 0.02)
    context.facade.catalogue._catalogue = None
    await user.open(path)
    assert models_offered(user) == []
    context.facade.catalogue._catalogue = CATALOGUE
    await until(lambda: models_offered(user) == list(CATALOGUE.checkpoints))


@pytest.mark.parametrize("path", ["/", "/bulk", "/schedules", "/history"])
async def test_of_many_models_a_page_gets_some_and_finds_the_others(
    user: User, context: Context, path: str
) -> None:
    names = tuple(f"folder/model-{number}.safetensors" for number in range(3_000))
    context.facade.catalogue._catalogue = replace(CATALOGUE, checkpoints=names)
    await user.open(path)
    await until(lambda: len(models_offered(user)) > 1)
    assert len(models_offered(user)) <= OFFERED + 1
    UserInteraction(user, {the_picker(user)}, None).trigger("inputValue", "MODEL-2999")
    await until(lambda: names[2999] in models_offered(user))
    assert len(models_offered(user)) <= 2
