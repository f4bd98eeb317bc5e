"""Versions of ComfyUI: too old, usable, unknown."""

from __future__ import annotations

import pytest

from comfy.versions import says_too_old, shortcoming, too_old


@pytest.mark.parametrize(
    "version", ["0.3.44", "0.3.9", "0.2.99", "v0.3.44", "0.3", "0.3.44-3-gabc"]
)
def test_too_old(version: str) -> None:
    words = f"ComfyUI {version} is too old: Easel needs 0.3.45 or later"
    assert too_old(version) == words
    assert says_too_old(words)


@pytest.mark.parametrize(
    "version",
    ["0.3.45", "0.3.57", "0.3.100", "0.24.0", "1.0", "", "unknown", "nightly-2026", "9" * 99],
)
def test_new_enough_or_unknown(version: str) -> None:
    assert too_old(version) is None


def test_an_interrupt_of_one_prompt_comes_later() -> None:
    assert "0.3.57" in (shortcoming("0.3.56") or "")
    assert shortcoming("0.3.57") is None
    assert shortcoming("unknown") is None
