"""How many official templates import takes: ``python -m bench.templates [FOLDER …]``.

Reads the official templates that are installed (``comfyui-workflow-templates-json``) and every
file in the given folders, for one ComfyUI, whose ``GET /object_info`` the catalogue is. Files
that a template names count as present, paid nodes as allowed.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comfy.errors import WorkflowFileError
from comfy.importing import ImportedGraph, read_workflow
from comfy.nodes import NodeCatalogue

PACKAGE: Final = "comfyui_workflow_templates_json"
CATALOGUES: Final = Path(__file__).parent.parent / "comfy" / "emulator" / "catalogues"
ACCEPTED: Final = ("accepted wholly", "accepted, viewers dropped", "accepted, save node appended")
FOREIGN: Final = "missing node classes"
REJECTED: Final = "rejected"
REFUSED: Final = "refused as a file"
CRASHED: Final = "exceptions"


@dataclass(frozen=True)
class Outcome:
    """What became of one file, and why."""

    path: Path
    kind: str
    reasons: tuple[str, ...] = ()


def read(path: Path, catalogue: NodeCatalogue) -> Outcome:
    """Import one file."""
    try:
        imported = read_workflow(path.read_bytes(), path.name, catalogue)
    except WorkflowFileError as error:
        return Outcome(path, REFUSED, (f"{error.code}: {error}",))
    except Exception:  # noqa: BLE001 - they are what is counted
        return Outcome(path, CRASHED, (traceback.format_exc(limit=-3),))
    return Outcome(path, *judged(imported))


def judged(imported: ImportedGraph) -> tuple[str, tuple[str, ...]]:
    """The kind of outcome and its reasons, by ComfyUI's own rules."""
    findings = imported.findings
    if findings.missing_classes:
        names = (f"{each.class_type} ({each.pack})" for each in findings.missing_classes)
        return FOREIGN, tuple(names)
    if findings.problems:
        return REJECTED, tuple(str(problem) for problem in findings.problems)
    if any(output.appended for output in imported.outputs):
        return ACCEPTED[2], ()
    viewers = [each for each in imported.dropped if each.reason == "viewer"]
    return ACCEPTED[1] if viewers else ACCEPTED[0], ()


def templates() -> list[Path]:
    """The official templates that are installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return []
    folder = Path(found.origin).parent / "templates"
    return [
        path
        for path in sorted(folder.glob("*.json"))
        if not path.name.startswith("index") and b'"nodes"' in path.read_bytes()
    ]


def files(folders: Iterable[Path]) -> Iterator[Path]:
    """Every file in the folders, or the files themselves."""
    for folder in folders:
        found = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        yield from (path for path in found if path.is_file())


def load_catalogue(path: Path) -> NodeCatalogue:
    """A recorded ``GET /object_info``, packed or not."""
    data = path.read_bytes()
    return NodeCatalogue.from_object_info(
        json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    )


def report(title: str, outcomes: list[Outcome], seconds: float, verbose: bool) -> None:
    """Print the figures, and the reasons for what was not accepted."""
    counts = Counter(outcome.kind for outcome in outcomes)
    accepted = sum(counts[kind] for kind in ACCEPTED)
    print(f"{title}: {accepted} of {len(outcomes)} accepted, {seconds:.1f} s")
    for kind in (*ACCEPTED, FOREIGN, REJECTED, REFUSED, CRASHED):
        print(f"  {kind:32} {counts[kind]:5}")
    for outcome in outcomes:
        if outcome.kind in ACCEPTED:
            continue
        shown = outcome.reasons if verbose else outcome.reasons[:2]
        print(f"    {outcome.path.name}: {outcome.kind}: {'; '.join(shown)}")


def main() -> int:
    """Run it. Returns 1 if there was an exception."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="more files, or folders of them")
    parser.add_argument("--catalogue", type=Path, help="a recorded GET /object_info")
    parser.add_argument("--verbose", action="store_true", help="show every reason")
    parser.add_argument("--no-templates", action="store_true", help="only what is given")
    told = parser.parse_args()
    path = told.catalogue or max(CATALOGUES.glob("*.json.gz"), default=None)
    if path is None:
        parser.error("no catalogue is recorded: name one with --catalogue")
    catalogue = load_catalogue(path)
    print(f"catalogue: {path.name}, {len(catalogue.classes)} classes")
    sets = [] if told.no_templates else [("official templates", templates())]
    sets += [(folder.name, list(files([folder]))) for folder in told.folders]
    crashed = False
    for title, paths in sets:
        start = time.perf_counter()
        outcomes = [read(each, catalogue) for each in paths]
        report(title, outcomes, time.perf_counter() - start, told.verbose)
        crashed = crashed or any(outcome.kind == CRASHED for outcome in outcomes)
    return int(crashed)


if __name__ == "__main__":
    sys.exit(main())
