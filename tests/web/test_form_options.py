from __future__ import annotations

import pytest
from nicegui import ui
from nicegui.testing import User

import web.forms.options
from api.context import Context
from tests.web.conftest import CATALOGUE
from tests.web.visiting import elements, until


def models_offered(user: User) -> list[str]:
    """What the picker of models offers."""
    [picker] = [
        one
        for one in elements(user)
        if isinstance(one, ui.select) and one.props.get("label") in {"Model", "Models"}
    ]
    return list(picker.options)


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
