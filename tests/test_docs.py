"""The docs say what is true: every setting is documented, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.main import get_group

from cli.main import app
from core.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")
PATH_NAMED = re.compile(rf"(?<![\w/.:-])(?:{FOLDERS})/[\w./-]*\w|(?<![\w/-])[A-Z]+\.md\b")
COMMAND_NAMED = re.compile(r"(?:^|`)(?:\.venv/bin/)?(make|easel) ([a-z][a-z-]*)", re.MULTILINE)


def variables() -> list[str]:
    names: list[str] = []
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += [f"EASEL_{name}__{inner}".upper() for inner in kind.model_fields]
        else:
            names.append(f"EASEL_{name}".upper())
    return names


@pytest.mark.parametrize("variable", variables())
def test_every_setting_is_documented(variable: str) -> None:
    assert f"| `{variable}` |" in (ROOT / "docs" / "operations.md").read_text()


def test_nothing_is_documented_that_is_no_setting() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"\| `(EASEL_\w+)` \|", page)) == set(variables())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_are_named_are_there(page: Path) -> None:
    for path in PATH_NAMED.findall(page.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_named_are_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known = {"make": targets, "easel": set(get_group(app).commands)}
    for program, name in COMMAND_NAMED.findall(page.read_text()):
        assert name in known[program], f"{program} {name}"
