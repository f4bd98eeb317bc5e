"""What is proposed for workflow files, beside what a user would expect of them.

``python -m bench.proposals FOLDER...``: a folder holds workflow files, and ``expected.json`` if it
is known what is expected of some (`bench/workflow_expectations.py` says how). Nothing is executed
and nothing fetched. Without a folder it is the official templates package that is installed;
``bench/expected`` says what is expected of its most-used ones, for the ComfyUI that is recorded
last. The catalogue is a recorded one, or what ``GET /object_info`` of a ComfyUI says, as JSON or
gzipped. How many files a ComfyUI accepts, `bench.templates` says.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.templates import CATALOGUES, PACKAGE, load_catalogue
from bench.workflow_expectations import Expectation, Imported, Problem, differences, table
from comfy.errors import WorkflowFileError
from comfy.importing import ImportedGraph, read_workflow
from comfy.importing.checking import check_graph
from comfy.importing.proposal import propose
from comfy.nodes import NodeCatalogue
from core.workflows.declaration import Workflow, leaves

_EXPECTED: Final = "expected.json"
_OF_TEMPLATES: Final = Path(__file__).parent / "expected" / "templates.json"
_INDEXES: Final = ("index", "fuse_options", _EXPECTED, "sources.json")
_ENDINGS: Final = frozenset(
    {".json", ".png", ".webp", ".jpg", ".mp4", ".webm", ".flac", ".ogg", ".mp3"}
)


@dataclass(frozen=True)
class Read:
    """One file of a folder, as it was imported."""

    name: str
    imported: Imported
    has_seed_field: bool = False
    crash: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Print what became of every file; returns 1 if one raised an unexpected exception."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalogue", type=Path, help="a recorded GET /object_info")
    parser.add_argument("--only", default="", help="files whose names contain this")
    parser.add_argument("folders", type=Path, nargs="*", default=_installed())
    told = parser.parse_args(arguments)
    path = told.catalogue or max(CATALOGUES.glob("*.json.gz"), default=None)
    if path is None:
        parser.error("no catalogue is recorded: name one with --catalogue")
    catalogue = load_catalogue(path)
    crashed = False
    for folder in told.folders:
        found = [read(path, folder, catalogue) for path in files(folder) if told.only in path.name]
        crashed |= any(one.crash for one in found)
        expected = {
            name: one for name, one in expectations(folder).items() if told.only in Path(name).name
        }
        print(f"{folder}\n{report(found, expected)}")
    return int(crashed)


def _installed() -> list[Path]:
    found = importlib.util.find_spec(PACKAGE)
    places = (found.submodule_search_locations or []) if found else []
    return [Path(place) / "templates" for place in places]


def files(folder: Path) -> Iterator[Path]:
    """The workflow files of a folder and of those in it."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _ENDINGS and not path.name.startswith(_INDEXES):
            yield path


def expectations(folder: Path) -> dict[str, Expectation]:
    """What is expected of files, by their paths below the folder."""
    for place in (folder, folder.parent):
        path = place / _EXPECTED
        if path.exists():
            told = json.loads(path.read_bytes())
            above = "" if place == folder else f"{folder.name}/"
            return {
                name.removeprefix(above): Expectation.from_json(one)
                for name, one in told.items()
                if name.startswith(above)
            }
    if folder.resolve() in [place.resolve() for place in _installed()]:
        told = json.loads(_OF_TEMPLATES.read_bytes())
        return {name: Expectation.from_json(one) for name, one in told.items()}
    return {}


def read(path: Path, folder: Path, catalogue: NodeCatalogue) -> Read:
    """Import one file; an exception that is no error of the import is a finding."""
    name = path.relative_to(folder).as_posix()
    try:
        graph = read_workflow(path.read_bytes(), path.name, catalogue)
        imported = _imported(graph, catalogue)
    except WorkflowFileError as error:
        return Read(name, Imported(None, error=str(error), told=frozenset({error.code})))
    except Exception:  # noqa: BLE001 - it is what is measured
        return Read(name, Imported(None, error="raised"), crash=traceback.format_exc(limit=-3))
    return Read(name, imported, has_seed_field=any(map(_takes_a_seed, graph.graph.values())))


def report(found: list[Read], expected: dict[str, Expectation]) -> str:
    """Returns lines of text: what was expected and is not so, and in how many a seed is found."""
    compared = [
        (one.name, [one.crash] if one.crash else differences(known, one.imported))
        for one in found
        if (known := expected.get(one.name)) is not None
    ]
    gone = [
        f"no such file: {name}" for name in sorted(expected.keys() - {one.name for one in found})
    ]
    crashes = [f"{one.name}: {one.crash}" for one in found if one.crash]
    return "\n".join([*crashes, *gone, *([table(compared)] if compared else []), _seeds(found)])


def _imported(graph: ImportedGraph, catalogue: NodeCatalogue) -> Imported:
    workflow = propose(graph, catalogue, "measured")
    asked = _asked(workflow)
    checked = check_graph(workflow.graph or {}, catalogue, graph.hints)
    return Imported(
        workflow,
        missing=frozenset(one.class_type for one in checked.missing_classes),
        paid=frozenset(one.class_type for one in checked.paid_classes),
        told=frozenset(one.code for one in graph.notices),
        problems=tuple(
            Problem(one.node_id, one.input, str(one))
            for one in checked.problems
            if (one.node_id, one.input) not in asked
        ),
    )


def _asked(workflow: Workflow) -> set[tuple[str, str]]:
    """Where a value comes from the user alone: what the graph has there is never submitted."""
    return {
        (target.node, target.field)
        for _, one in leaves(workflow.inputs)
        if one.required and one.default is None
        for target in one.targets
    }


def _takes_a_seed(node: Mapping[str, Any]) -> bool:
    """Whether a node has an unlinked field for a seed that it uses."""
    inputs: Mapping[str, Any] = node["inputs"]
    return inputs.get("add_noise") != "disable" and any(
        name.rpartition(".")[2] in ("seed", "noise_seed") and not isinstance(value, list)
        for name, value in inputs.items()
    )


def _seeds(found: list[Read]) -> str:
    """In how many files that take a seed, and call no paid service, there is an input for it."""
    taking = [one for one in found if one.has_seed_field and not one.imported.paid]
    given = [
        one for one in taking if one.imported.workflow and one.imported.workflow.of_role("seed")
    ]
    without = ", ".join(one.name for one in taking if one not in given)
    return f"a seed in {len(given)} of {len(taking)} without paid nodes {without}"


if __name__ == "__main__":
    sys.exit(main())
