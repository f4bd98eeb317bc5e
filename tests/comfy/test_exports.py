"""What ``comfy`` offers to the other rooms."""

from __future__ import annotations

import inspect

import comfy
from comfy import errors


def test_everything_named_is_there_and_once() -> None:
    assert len(set(comfy.__all__)) == len(comfy.__all__)
    assert [name for name in comfy.__all__ if not hasattr(comfy, name)] == []


def test_every_error_is_offered() -> None:
    kinds = [
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, BaseException)
    ]
    assert set(kinds) <= set(comfy.__all__)
