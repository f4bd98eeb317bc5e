"""The schedules: what each starts and when, whether it is on, and its last batches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from api.schedules.documents import ScheduleDocument
from api.workflows.documents import WorkflowDocument
from core.requests import DEFAULT_WORKFLOW
from core.wording import ago, model_name
from store.values import Batch
from web.batches.wording import BATCH_WORDS, counted, made_count, makes_line, workflow_of
from web.parts.clock import cron_words, every_words, known_zone, moments_words
from web.parts.elements import Text, adorn, box, button


@dataclass(frozen=True)
class ScheduleActions:
    """The actions on a schedule."""

    switch: Callable[[ScheduleDocument, bool], Awaitable[None]]
    edit: Callable[[ScheduleDocument], Awaitable[None]]
    delete: Callable[[ScheduleDocument], Awaitable[None]]


class ScheduleRow:
    """One schedule as an item of a list. ``show`` updates it."""

    def __init__(
        self,
        document: ScheduleDocument,
        begun: list[Batch],
        actions: ScheduleActions,
        workflows: Mapping[str, WorkflowDocument],
    ) -> None:
        """``workflows`` are those that there are, by their names."""
        self._workflow = workflows.get(workflow_of(document.batch))
        self._actions = actions
        self.root = box("", "li")
        with self.root:
            with box("schedule-head"):
                with box("schedule-names"):
                    name = adorn(Text(document.name, "schedule-name", "h3"), dir="auto")
                    adorn(name, title="Set in prefect.yaml" if document.in_file else None)
                    Text(when_words(document), "schedule-when")
                self._switch = box("switch", "button", type="button", role="switch")
                self._switch.on("click", self._switched, args=[])
                adorn(self._switch, aria_label=f"{document.name} is on")
            adorn(Text(self._makes(document), "schedule-makes", "p"), dir="auto")
            Text(_details(document, self._workflow), "muted small", "p")
            with box("schedule-foot"):
                self._next = Text("", "small")
                box("grow")
                self._build_end(document)
            if begun:
                _build_begun(begun)
        self.show(document)

    def show(self, document: ScheduleDocument) -> None:
        """Show whether it is on, and when it fires next."""
        self.document = document
        self.root.classes(replace=f"schedule {'is-on' if document.active else 'is-off'}")
        adorn(self._switch, aria_checked=str(document.active).lower())
        self._next.text = _next_words(document)

    def _makes(self, document: ScheduleDocument) -> str:
        """Returns its prompts, or what it does without any."""
        if self._workflow is None or self._workflow.built_in:
            return makes_line(document.batch)
        prompt = self._workflow.roles.get("prompt")
        return makes_line(document.batch, prompt) if prompt else self._workflow.title

    def _build_end(self, document: ScheduleDocument) -> None:
        if document.in_file:
            return  # prefect.yaml has it, so it cannot be changed here
        button(
            f"Edit {document.name}",
            lambda: self._actions.edit(document),
            icon_name="edit",
            bare=True,
            classes="btn-quiet",
        )
        button(
            f"Delete {document.name}",
            lambda: self._actions.delete(document),
            icon_name="trash",
            bare=True,
            classes="btn-quiet",
        )

    async def _switched(self) -> None:
        await self._actions.switch(self.document, not self.document.active)


def _build_begun(begun: list[Batch]) -> None:
    with box("schedule-begun"):
        Text("Started", "muted small")
        for batch in begun:
            with box("link", "a", href=f"/b/{batch.id}"):
                Text(f"{ago(batch.created_at)} ({BATCH_WORDS[batch.status].lower()})")


def when_words(document: ScheduleDocument) -> str:
    """Returns for example "Every day at 02:00 (Europe/Berlin)"."""
    if document.cron is not None:
        return f"{_cron_words(document)} ({document.timezone})"
    if document.interval_s is not None:
        return every_words(document.interval_s)
    return f"By the rule {document.rrule}" if document.rrule is not None else "Set in Prefect"


def _cron_words(document: ScheduleDocument) -> str:
    """Returns the line itself where its words would not be what Prefect makes of it."""
    assert document.cron is not None
    if not document.day_or:
        return f"By cron {document.cron}, day and weekday both"
    return cron_words(document.cron) if document.note is None else f"By cron {document.cron}"


def _next_words(document: ScheduleDocument) -> str:
    if not document.active:
        return "Switched off"
    if not document.next_runs:
        return f"Will not run again{f': {document.note}' if document.note else ''}"
    ahead = f"Next: {moments_words(document.next_runs[:2], known_zone(), datetime.now(UTC))}"
    return ahead if document.note is None else f"{ahead}, but {document.note}"


def _details(document: ScheduleDocument, workflow: WorkflowDocument | None) -> str:
    named = workflow_of(document.batch)
    gone = workflow is None and named != DEFAULT_WORKFLOW
    other = workflow is not None and not workflow.built_in
    kind = workflow.kind if workflow is not None else None if gone else "image"
    batch = document.batch
    number = made_count(batch)
    defaults = batch.get("defaults")
    model = defaults.get("model") if isinstance(defaults, dict) else None
    said = [counted(number, kind) if number is not None else ""]
    said += [workflow.title] if workflow is not None and other else []
    said += [f"the workflow {named} is gone"] if gone else []
    said += [model_name(str(model))] if model else []
    if batch.get("not_after"):
        said.append(f"stops starting at {batch['not_after']}")
    if batch.get("callback"):
        said.append(f"callback {batch['callback']}")
    return " · ".join(part for part in said if part)
