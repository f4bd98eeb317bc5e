"""What the source says to users, in every message: no word that is retired."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.retired_words import retired_words

HOUSE: Final = Path(__file__).parent.parent
ROOMS: Final = ("api", "cli", "comfy", "core", "flows", "store", "web", "webhooks")
SILENT: Final = ("comfy/emulator", "flows/testing", "store/migrations")
"""Without texts for users."""
_BINDING: Final = re.compile(r"""(?:v-[\w-]+|[:@][\w.-]+)="[^"]*\"""")
"""An attribute of a Vue template whose value is code."""


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a file that are sentences: neither docstrings nor names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in notes:
            text = node.value
            if isinstance(text, str) and " " in text.strip():
                yield node.lineno, text


@pytest.mark.parametrize("room", ROOMS)
def test_no_message_has_a_retired_word(room: str) -> None:
    files = [
        path
        for path in (HOUSE / room).rglob("*.py")
        if not path.relative_to(HOUSE).as_posix().startswith(SILENT)
    ]
    assert files
    found = [
        f"{path.relative_to(HOUSE)}:{line}: {words} in {text!r}"
        for path in files
        for line, text in messages(path)
        if (words := retired_words(text))
    ]
    assert found == []


def test_no_template_of_the_page_has_a_retired_word() -> None:
    scripts = sorted((HOUSE / "web" / "static").glob("*.js"))
    assert scripts
    for path in scripts:
        lines = path.read_text(encoding="utf-8").splitlines()
        said = [_BINDING.sub("", line.partition("// ")[0]) for line in lines]
        assert [line for line in said if retired_words(line)] == [], path.name
