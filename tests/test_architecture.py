"""The house stands as it was drawn: imports point down only, and every room has one error base."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

HOUSE = Path(__file__).parent.parent
MAY_IMPORT = {
    "core": {"core"},
    "comfy": {"comfy", "core"},
    "store": {"store", "core"},
    "webhooks": {"webhooks", "store", "core"},
    "flows": {"flows", "store", "comfy", "core"},
    "api": {"api", "flows", "webhooks", "store", "comfy", "core"},
    "web": {"web", "api", "store", "core"},
    "cli": {"cli", "web", "api", "flows", "webhooks", "store", "comfy", "core"},
}
NEVER = {
    "core": {"prefect", "fastapi", "sqlalchemy"},
    "comfy": {"prefect", "fastapi", "sqlalchemy", "core.settings"},
    "store": {"prefect", "fastapi"},
    "webhooks": {"prefect", "fastapi", "sqlalchemy"},
}
NOT_ERRORS = {"CancelRequested", "TakenOver"}  # signals, as flows/errors.py says


def sources(room: str) -> Iterator[Path]:
    return (HOUSE / room).rglob("*.py")


def imported_by(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, late imports inside functions too."""
    package = path.relative_to(HOUSE).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_below(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


WEB_MAY_NAME: Final = ("store.values", "store.callbacks.values", "store.errors")
"""Of the store, the pages name what they show and what can go wrong; they read through facades."""


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_down_only(room: str) -> None:
    rooms_above = MAY_IMPORT.keys() - MAY_IMPORT[room] | {"tests", "bench"}
    forbidden = rooms_above | NEVER.get(room, set())

    wrong = [
        f"{path.relative_to(HOUSE)} imports {name}"
        for path in sources(room)
        for name in imported_by(path)
        if any(is_below(name, module) for module in forbidden)
    ]

    assert wrong == []


def test_the_emulator_stands_on_the_other_side_of_the_wire() -> None:
    wrong = [
        f"{path.relative_to(HOUSE)} imports {name}"
        for path in sources("comfy/emulator")
        for name in imported_by(path)
        if name.split(".")[0] in MAY_IMPORT and not is_below(name, "comfy.emulator")
    ]

    assert wrong == []


def test_pages_read_and_write_through_facades_only() -> None:
    wrong = [
        f"{path.relative_to(HOUSE)}: {name}"
        for path in sources("web")
        for name in imported_by(path)
        if is_below(name, "store") and not any(is_below(name, room) for room in WEB_MAY_NAME)
    ]
    wrong += [
        f"{path.relative_to(HOUSE)}:{node.lineno}: {ast.unparse(node)}"
        for path in sources("web")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"store", "_store"}
    ]

    assert wrong == []


PRIVATE: Final = "flows.prefect.private"
"""What Prefect does not promise is named in this package only, and has its contract tests."""
NOT_PROMISED: Final = ("flow_engine", "results", "server", "utilities", "workers")
"""Modules of Prefect that change from version to version, though their names have no ``_``."""


def outside_of_private() -> Iterator[Path]:
    paths = (path for room in MAY_IMPORT for path in sources(room))
    return (path for path in paths if not path.is_relative_to(HOUSE / PRIVATE.replace(".", "/")))


def is_private_of_prefect(name: str) -> bool:
    root, *parts = name.split(".")
    private = any(part.startswith("_") for part in parts)
    return root == "prefect" and (private or any(part in NOT_PROMISED for part in parts[:1]))


def test_what_prefect_does_not_promise_is_imported_in_one_place() -> None:
    wrong = [
        f"{path.relative_to(HOUSE)} imports {name}"
        for path in outside_of_private()
        for name in imported_by(path)
        if is_private_of_prefect(name)
    ]

    assert wrong == []


def test_no_private_attribute_of_another_object_is_excused() -> None:
    # Ruff finds them (SLF001), unless it is told not to.
    wrong = [
        str(path.relative_to(HOUSE))
        for path in outside_of_private()
        if "SLF001" in path.read_text(encoding="utf-8")
    ]

    assert wrong == []


def test_what_derives_from_prefect_uses_no_private_attribute_but_its_own() -> None:
    wrong = []
    for path in outside_of_private():
        imports = {name.rpartition(".")[2]: name for name in imported_by(path)}
        for cls in classes_in(path):
            bases = {imports.get(ast.unparse(base).partition("[")[0], "") for base in cls.bases}
            if any(is_below(base, "prefect") for base in bases):
                wrong.append(f"{path.relative_to(HOUSE)}: {cls.name} derives from Prefect's class")
            elif any(is_below(base, PRIVATE) for base in bases):
                wrong += [f"{cls.name} uses {name}" for name in private_of_others(cls)]

    assert wrong == []


def classes_in(path: Path) -> Iterator[ast.ClassDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            yield node


def private_of_others(cls: ast.ClassDef) -> set[str]:
    """The private attributes that a class uses, but neither sets nor defines."""
    attributes = [node for node in ast.walk(cls) if isinstance(node, ast.Attribute)]
    own = {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    own |= {
        node.name
        for node in cls.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    return {node.attr for node in attributes if re.match("_(?!_)", node.attr)} - own


def test_no_room_is_called_after_nothing() -> None:
    folders = {path.parent.name for room in MAY_IMPORT for path in sources(room)}

    assert folders & {"utils", "util", "services", "common", "helpers", "misc"} == set()
    assert {"core", "comfy", "store", "webhooks", "flows", "api"} <= folders


def test_what_the_commands_share_imports_none_of_them() -> None:
    """``main`` names the commands, each in its folder; what lies beside ``main`` is shared."""
    cli = HOUSE / "cli"
    commands = [f"cli.{path.parent.name}" for path in cli.glob("*/__init__.py")]

    wrong = [
        f"{path.relative_to(HOUSE)} imports {name}"
        for path in cli.glob("*.py")
        if path.name != "main.py"
        for name in imported_by(path)
        if any(is_below(name, command) for command in commands)
    ]

    assert commands != []
    assert wrong == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_every_error_of_a_room_has_the_rooms_base(room: str) -> None:
    for path in (path for path in sources(room) if path.name == "errors.py"):
        bases = {
            node.name: {ast.unparse(base) for base in node.bases}
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ClassDef)
        }
        roots = [name for name, above in bases.items() if above == {"Exception"}]
        # Of those after the first, one that is no base of others is no family of its own.
        heirs = set().union(*bases.values())
        family = {roots[0], *(name for name in roots if name in heirs)}
        for name, its_bases in bases.items():  # a base stands above what derives from it
            if its_bases & family:
                family.add(name)

        errors = {name for name in bases if name.endswith("Error") or "Exception" in bases[name]}
        assert errors - NOT_ERRORS <= family, path.relative_to(HOUSE)
