"""The official templates, as their package has them, for recorded versions of ComfyUI."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.templates import ACCEPTED, CATALOGUES, CRASHED, REFUSED, load_catalogue, read, templates
from comfy.nodes import NodeCatalogue

pytest.importorskip("comfyui_workflow_templates_json")


def test_none_is_refused_even_by_a_comfyui_without_any_class() -> None:
    outcomes = [read(path, NodeCatalogue()) for path in templates()]

    assert len(outcomes) > 600
    assert [each for each in outcomes if each.kind in (CRASHED, REFUSED)] == []


@pytest.mark.parametrize(("version", "least"), [("0.3.64", 105), ("0.24", 380), ("0.33", 480)])
def test_what_a_version_accepts(version: str, least: int) -> None:
    """The package is newer than all of them: many templates need classes that came later."""
    path = CATALOGUES / f"{version}.json.gz"
    if not path.exists():
        pytest.skip("this version is not recorded")
    catalogue = load_catalogue(path)

    outcomes = [read(path, catalogue) for path in templates()]

    assert [each for each in outcomes if each.kind in (CRASHED, REFUSED)] == []
    counts = Counter(each.kind for each in outcomes)
    assert sum(counts[kind] for kind in ACCEPTED) >= least, counts
