"""The preview of a batch: what will be generated, or what is wrong with the manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from nicegui import ui

from api.batches.documents import PlanDocument, RowProblemDocument
from core.artefacts import ArtefactKind
from core.problems import Problem
from core.requests import DEFAULT_WORKFLOW, ResolvedRequest
from core.wording import figure, model_name
from web.batches.wording import models_line, plan_line, problem_lines, rows_with_problems
from web.parts.elements import Text, adorn, box, button
from web.parts.wording import title

SKIPPED_SHOWN: Final = 20
_FILES: Final = {"upload": "{} (a file sent)", "artefact": "{} (from the history)"}
VALUES_SHOWN: Final = 12
"""How many inputs of a sample are shown: a workflow may have hundreds."""


class PlanPanel:
    """Hidden until there is a result."""

    def __init__(self) -> None:
        self.plan: PlanDocument | None = None
        self._said = adorn(Text("", "sr-only"), role="status")
        self._root = box("plan is-away", "section", aria_label="Preview")

    def show(
        self, plan: PlanDocument, kind: ArtefactKind | None, labels: Mapping[str, str]
    ) -> None:
        """Show what will be generated; ``labels`` are what the workflow's inputs are called."""
        self.plan = plan
        self._said.text = plan_line(plan, kind)
        with self._opened():
            Text(plan_line(plan, kind), "plan-head", "h2")
            if models := models_line(plan.models):
                Text(models, "muted small", "p")
            with box("samples", "ol"):
                for sample in plan.samples:
                    _build_sample(sample, labels)
            more = plan.total - len(plan.samples)
            Text(_rest(plan.seed, more), "muted small", "p")
            if plan.skipped:
                _build_skipped(plan.skipped)

    def refuse(self, problem: Problem, *, rows: bool) -> None:
        """Show what is wrong; ``rows``: places are rows of a file."""
        self.plan = None
        lines = problem_lines(problem, rows=rows)
        said = rows_with_problems(problem) if rows else "The form has problems"
        self._said.text = said
        with self._opened():
            Text(said, "plan-head", "h2")
            _build_problems(lines or [("", problem.detail)])
            Text("Nothing was created. Fix them and try again.", "muted small", "p")

    def hide(self) -> None:
        """Hide the result: the form has changed, so it is outdated."""
        self.plan = None
        self._root.clear()
        self._root.classes("is-away")

    def _opened(self) -> ui.element:
        self._root.clear()
        self._root.classes(remove="is-away")
        with self._root:
            button("Close", self.hide, icon_name="close", bare=True, classes="plan-shut")
        ui.run_javascript("easel.toPlan()")
        return self._root


def _rest(seed: int, more: int) -> str:
    said = "exactly these" if more <= 0 else f"these and {more:,} more like them"
    return f"Start generates {said}, with seed {seed}."


def _build_sample(sample: ResolvedRequest, labels: Mapping[str, str]) -> None:
    with box("sample-row", "li"):
        if sample.prompt:
            adorn(Text(sample.prompt, "sample-prompt"), dir="auto")
        own = sample.workflow == DEFAULT_WORKFLOW
        values = _values(sample) if own else values_of_inputs(sample, labels)
        adorn(Text(" · ".join(values), "muted small"), dir="auto")


def _values(sample: ResolvedRequest) -> list[str]:
    return [
        model_name(sample.model),
        f"{sample.width} × {sample.height}",
        f"{sample.steps} steps",
        f"CFG {sample.cfg:g}",
        f"{sample.sampler} / {sample.scheduler}",
        f"seed {sample.seed}",
    ]


def values_of_inputs(sample: ResolvedRequest, labels: Mapping[str, str]) -> list[str]:
    """Returns the inputs by their labels; the prompt stands above."""
    prompt = sample.plan.input_of("prompt")
    said = [
        f"{labels.get(name, name)} {_brief(value)}"
        for name, value in sample.inputs.items()
        if name != prompt and value not in (None, "")
    ]
    return [*said[:VALUES_SHOWN], *(["…"] if len(said) > VALUES_SHOWN else [])]


def _brief(value: Any) -> str:
    if isinstance(value, str):
        if value.startswith(("upload:", "artefact:")):
            return _FILES[value.partition(":")[0]].format(value.partition(":")[2][:8])
        return title(value, 40)
    if isinstance(value, float):
        return figure(value)
    return title(json.dumps(value, ensure_ascii=False), 60)


def _build_skipped(skipped: list[RowProblemDocument]) -> None:
    Text(f"{len(skipped):,} skipped:", "small", "p")
    shown = skipped[:SKIPPED_SHOWN]
    _build_problems(
        [
            (f"Row {one.row}" + (f", {one.column}" if one.column else ""), one.message)
            for one in shown
        ]
    )


def _build_problems(lines: list[tuple[str, str]]) -> None:
    with box("problems", "ul"):
        for where, message in lines:
            with box("problem", "li"):
                if where:
                    Text(where, "problem-where")
                Text(message)
