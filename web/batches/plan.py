"""The preview of a batch: what will be generated, or what is wrong with the manifest."""

from __future__ import annotations

from typing import Final

from nicegui import ui

from api.batches.documents import PlanDocument, RowProblemDocument
from core.problems import Problem
from core.requests import ResolvedRequest
from core.wording import model_name
from web.batches.wording import models_line, plan_line, problem_lines, rows_with_problems
from web.parts.elements import Text, adorn, box, button

SKIPPED_SHOWN: Final = 20


class PlanPanel:
    """Hidden until there is a result."""

    def __init__(self) -> None:
        self.plan: PlanDocument | None = None
        self._said = adorn(Text("", "sr-only"), role="status")
        self._root = box("plan is-away", "section", aria_label="Preview")

    def show(self, plan: PlanDocument) -> None:
        """Show what will be generated."""
        self.plan = plan
        self._said.text = plan_line(plan)
        with self._opened():
            Text(plan_line(plan), "plan-head", "h2")
            Text(models_line(plan.models), "muted small", "p")
            with box("samples", "ol"):
                for sample in plan.samples:
                    _build_sample(sample)
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


def _build_sample(sample: ResolvedRequest) -> None:
    with box("sample-row", "li"):
        adorn(Text(sample.prompt, "sample-prompt"), dir="auto")
        values = (
            model_name(sample.model),
            f"{sample.width} × {sample.height}",
            f"{sample.steps} steps",
            f"CFG {sample.cfg:g}",
            f"{sample.sampler} / {sample.scheduler}",
            f"seed {sample.seed}",
        )
        Text(" · ".join(values), "muted small")


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
