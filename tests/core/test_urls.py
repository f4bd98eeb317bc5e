"""Passwords in URLs are shown nowhere."""

from __future__ import annotations

import pytest

from core.urls import without_userinfo


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@host:8188/api", "http://host:8188/api"),
        ("https://token@host", "https://host"),
        ("http://us@er:sec@ret@host/", "http://host/"),
        ("http://host:8188/view?a=b@c", "http://host:8188/view?a=b@c"),
        ("postgresql+asyncpg://u:p@db/easel", "postgresql+asyncpg://db/easel"),
        ("401 for url 'http://u:p@host/api' at noon", "401 for url 'http://host/api' at noon"),
        ("mail someone@example.org", "mail someone@example.org"),
    ],
)
def test_what_is_shown(url: str, shown: str) -> None:
    assert without_userinfo(url) == shown
