"""The studio: describe, generate, watch. Rebuilt from the server whenever it is opened."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from nicegui import ui
from pydantic import ValidationError

from api.errors import ProblemError
from api.generations.documents import HistoryItem, OutputDocument, StatusDocument
from core.ids import parse_generation_id
from core.requests import DEFAULT_WORKFLOW, GenerationRequest, ResolvedRequest
from core.status import is_final
from store.errors import NotFoundError
from store.values import Generation, HistoryFilter
from web.forms.drafts import Draft
from web.forms.onward import Onward, Place
from web.forms.operations import Filled
from web.forms.options import offer_options
from web.forms.workflow_drafts import WorkflowDraft
from web.parts.elements import Text, adorn, box
from web.parts.layout import Frame, Web, errors_as_toasts, section, toast, toast_error
from web.parts.live import Live
from web.parts.notices import in_passing, notices_of
from web.parts.wording import percent_of, queue_line, subject, tab_title
from web.studio.card import Card
from web.studio.stage import Stage, StageActions
from web.studio.workflows import Workflows

_RUNNING: Final = ("running", "cancelling")
STRIP: Final = 24
"""Number of generations in the strip, newest first."""
_RUNNING_SHOWN: Final = 6
QUEUE_EVERY_S: Final = 3.0
"""How often the times of the queued cards are read again: they pass while nothing changes."""


class Studio:
    """One open studio page."""

    def __init__(self, web: Web, chosen: str | None, workflow: str | None) -> None:
        self._web = web
        self._wanted = workflow
        self._chosen = parse_generation_id(chosen or "")
        self._cards: dict[UUID, Card] = {}
        self._staged: UUID | None = None
        self._mine: set[UUID] = set()
        self._watched: set[UUID] = set()
        self._tab_title = "Easel"
        self._live = Live(web.facade)
        self._onward = Onward(web, self._take_along, self._go_with)
        self._frame = Frame(web, "Studio", self._reload)
        with box("studio"):
            adorn(Text("Studio", "sr-only", "h1"))
            with section("form", "Settings"):
                self._workflows = Workflows(web, errors_as_toasts(self._generate))
                self._form = self._workflows.form
                self._frame.on_tab(self._workflows.belongs_to)
            with section("watch", "Generations"):
                self._stage = Stage(self._actions())
                self._strip = box("strip", role="list", aria_label="Latest generations")

    def _actions(self) -> StageActions:
        return StageActions(
            cancel=errors_as_toasts(self._cancel_staged),
            retry=errors_as_toasts(self._retry),
            vary=errors_as_toasts(self._vary),
            use=errors_as_toasts(self._use),
            delete=errors_as_toasts(self._delete),
            example=errors_as_toasts(self._example),
            follow=errors_as_toasts(self._back),
            onward=self._onward,
        )

    async def start(self) -> None:
        """Load the page, then follow changes."""
        await offer_options(self._web.facade, self._workflows.offer)
        await self._workflows.start(self._wanted)
        if self._wanted is not None:  # a reload shows what was chosen since
            ui.navigate.history.replace("/")
        await self._onward.load()
        await self._reload()
        self._frame.start()
        if (replaced := Draft.take_replaced()) is not None:
            self._offer_back(replaced)
        if (inputs := WorkflowDraft.take_replaced()) is not None:
            self._offer_inputs_back(inputs)
        self._live.start(self._changed)
        self._workflows.follow()
        ui.timer(QUEUE_EVERY_S, errors_as_toasts(self._queue_moved), immediate=False)

    # --- the strip

    async def _reload(self) -> None:
        items = await self._newest()
        for gone in self._cards.keys() - {item.task_id for item in items}:
            self._cards.pop(gone).root.delete()
        for place, item in enumerate(items):
            card = self._cards.get(item.task_id) or self._add(item.task_id)
            card.show(item, item.outputs)
            if self._strip.default_slot.children[place] is not card.root:
                card.root.move(self._strip, place)
        await self._restage()

    async def _newest(self) -> list[HistoryItem]:
        """Returns the newest, and older ones that still run; never the whole history."""
        facade, trash = self._web.facade, self._web.trash
        page = await facade.history(HistoryFilter(), STRIP + len(trash.ids), None)
        running = await facade.history(
            HistoryFilter(status=("running", "cancelling")), _RUNNING_SHOWN, None
        )
        newest = {item.task_id: item for item in (*running.items, *page.items)}
        shown = [item for item in newest.values() if item.task_id not in trash]
        return sorted(shown, key=lambda item: item.created_at, reverse=True)[: STRIP + 6]

    def _add(self, task_id: UUID) -> Card:
        with self._strip:
            card = Card(task_id, errors_as_toasts(self._choose), errors_as_toasts(self._cancel))
        self._cards[task_id] = card
        return card

    async def _changed(self, generation: Generation) -> None:
        if generation.id in self._web.trash or generation.request is None:
            return
        card = self._cards.get(generation.id)
        before = card.document.status if card and card.document else None
        if card is None:
            if generation.status == "queued" and generation.request.priority == "bulk":
                return  # a thousand created at once: they appear when they run
            card = self._add(generation.id)
            card.root.move(self._strip, 0)
            self._drop_oldest()
        await self._show(card, generation)
        if before != generation.status:
            await self._queue_moved(except_for=generation.id)
        await self._restage()
        if before != generation.status and generation.status == "failed":
            self._say_failed(generation)

    def _say_failed(self, generation: Generation) -> None:
        """Say that what was started here failed, unless the stage shows it."""
        card = self._cards.get(generation.id)
        document = card.document if card else None
        if document is not None and generation.id in self._mine and generation.id != self._staged:
            said = document.error.title if document.error else "Failed"
            toast_error(f"{said}: “{subject(document.request)}”")

    async def _show(self, card: Card, generation: Generation) -> None:
        document = await self._web.facade.document(generation)
        done = generation.status == "succeeded"
        if not is_final(generation.status):
            self._watched.add(generation.id)
        images = await self._web.facade.outputs(generation.id) if done else []
        card.show(document, images)

    async def _queue_moved(self, except_for: UUID | None = None) -> None:
        """Update the queued cards: whatever starts or ends moves those behind it up."""
        queued = [
            card.task_id
            for card in self._cards.values()
            if card.document and card.document.status == "queued" and card.task_id != except_for
        ]
        for task_id, document in (await self._web.facade.statuses(queued)).items():
            card = self._cards.get(task_id)
            if card is not None:  # it may have been removed meanwhile
                card.show(document, [])

    def _drop_oldest(self) -> None:
        ended = [
            card
            for card in self._cards.values()
            if card.document and is_final(card.document.status)
        ]
        if len(self._cards) > STRIP + _RUNNING_SHOWN and ended:
            oldest = min(ended, key=lambda card: card.document.created_at)  # type: ignore[union-attr]
            self._cards.pop(oldest.task_id).root.delete()

    # --- the stage

    async def _restage(self) -> None:
        document, images = await self._on_stage()
        self._stage.show(document, images)
        self._stage.say_pinned(self._pinned_words())
        self._say_queue()
        staged = document.task_id if document else None
        if staged != self._staged:
            for card in self._cards.values():
                card.mark(card.task_id == staged)
            self._staged = staged

    async def _on_stage(self) -> tuple[StatusDocument | None, list[OutputDocument]]:
        if self._chosen is not None and self._chosen not in self._cards:
            await self._fetch_chosen()
        card = self._cards.get(self._chosen) if self._chosen else None
        card = card or self._followed()
        return (card.document, card.images) if card else (None, [])

    def _followed(self) -> Card | None:
        """Returns the card to show by default: running, else queued, else the last that ended."""
        cards = [card for card in self._cards.values() if card.document is not None]
        for wanted in (_RUNNING, ("queued",)):
            found = [card for card in cards if card.document and card.document.status in wanted]
            if found:
                return min(found, key=_created)
        return max(cards, key=self._ended, default=None)

    def _ended(self, card: Card) -> tuple[bool, float]:
        """Returns what the last one that ended is chosen by.

        A failure is shown as an image is. A cancelled one is shown to the page that saw it run.
        """
        document = card.document
        assert document is not None  # only shown cards are compared
        told = document.status == "failed" and _priority(document) == "interactive"
        seen = document.status == "cancelled" and card.task_id in self._watched
        ended = document.finished_at or document.created_at
        return bool(card.images) or told or seen, ended.timestamp()

    def _pinned_words(self) -> str:
        """Returns what to say beside the way back; nothing when the latest is shown."""
        latest = self._followed()
        if self._chosen is None or latest is None or latest.task_id == self._chosen:
            return ""
        live = latest.document is not None and latest.document.status in _RUNNING
        return "Another one is rendering." if live else "This is not the latest."

    def _say_queue(self) -> None:
        """Show in the form, and in the tab's title, what is rendered and how many wait."""
        documents = [card.document for card in self._cards.values() if card.document]
        queued = sum(document.status == "queued" for document in documents)
        running = [document for document in documents if document.status in _RUNNING]
        first = min(running, key=lambda document: document.created_at, default=None)
        self._form.show_queue(queue_line(first, queued), percent_of(first))
        said = tab_title(first, queued)
        if said != self._tab_title:
            self._tab_title = said
            ui.page_title(said)

    async def _fetch_chosen(self) -> None:
        """Load the generation of the URL, which the strip does not show."""
        assert self._chosen is not None  # checked by the caller
        try:
            generation = await self._web.facade.generation(self._chosen)
        except NotFoundError:
            self._chosen = None
            return
        if generation.id in self._web.trash:
            self._chosen = None
            return
        card = self._add(generation.id)
        await self._show(card, generation)

    # --- what the visitor does

    async def _choose(self, task_id: UUID) -> None:
        await self._pin(task_id)
        ui.run_javascript("easel.toStage()")

    async def _pin(self, task_id: UUID) -> None:
        self._chosen = task_id
        ui.navigate.history.replace(f"/?g={task_id}")
        await self._restage()

    async def _back(self) -> None:
        self._follow()
        await self._restage()

    def _follow(self) -> None:
        self._chosen = None
        ui.navigate.history.replace("/")

    async def _generate(self) -> None:
        try:
            resolved = await self._create(await self._workflows.request())
        except (ValidationError, ProblemError) as error:
            is_told = self._workflows.refuse(error)
            ui.run_javascript("easel.toMistake()")
            if not is_told:
                raise
            return
        self._workflows.accepted(resolved)

    async def _vary(self, request: ResolvedRequest) -> None:
        values = request.without("seed").model_dump(exclude={"metadata", "priority"})
        await self._create(GenerationRequest(**values))

    async def _create(self, request: GenerationRequest) -> ResolvedRequest:
        created = await self._web.facade.create(request)
        self._mine.add(created.task_id)
        self._follow()
        await self._changed(await self._web.facade.generation(created.task_id))
        ui.run_javascript("easel.toStage()")
        resolved = created.request
        assert isinstance(resolved, ResolvedRequest)  # this version has just created it
        if self._staged != created.task_id and (said := notices_of(resolved)):
            toast(in_passing(said))  # the stage shows another one, and so not these
        return resolved

    async def _cancel(self, task_id: UUID) -> None:
        await self._web.facade.cancel(task_id)
        await self._changed(await self._web.facade.generation(task_id))

    async def _cancel_staged(self, task_id: UUID) -> None:
        """Cancel it, and stay with it: nothing else comes under the pointer that cancelled it."""
        await self._pin(task_id)
        await self._cancel(task_id)

    async def _retry(self, task_id: UUID) -> None:
        self._mine.add(task_id)
        await self._web.facade.retry(task_id)

    async def _use(self, request: ResolvedRequest) -> None:
        is_shown, before = await self._workflows.use(request)
        if is_shown and request.workflow == DEFAULT_WORKFLOW:
            self._offer_back(self._form.use(request))
        elif before is not None:
            self._offer_inputs_back(before)

    def _offer_back(self, before: Draft) -> None:
        """Say that the form has other settings now, and offer those it had."""

        async def put_back() -> None:
            self._form.put_back(before)

        self._frame.offer("The settings are in the form", put_back)

    def _offer_inputs_back(self, before: WorkflowDraft) -> None:
        """The same for the inputs of another workflow than txt2img."""

        async def put_back() -> None:
            await self._workflows.put_back(before)

        self._frame.offer("The settings are in the form", put_back)

    async def _take_along(self, place: Place, reference: str) -> None:
        if await self._workflows.take(place.workflow, place.input.name, reference):
            toast(f"It is in the form of {place.title} now.")
            ui.run_javascript("easel.toForm()")

    async def _go_with(self, found: Filled) -> None:
        is_shown, before = await self._workflows.fill(found.workflow, found.values)
        if not is_shown:
            return
        if before is not None:
            self._offer_inputs_back(before)
        else:
            toast(f"The image is in the form of {found.title} now.")
        ui.run_javascript("easel.toForm()")

    async def _example(self, prompt: str) -> None:
        self._form.write(prompt)

    async def _delete(self, task_id: UUID) -> None:
        self._follow()
        await self._frame.delete([task_id])


def _created(card: Card) -> float:
    assert card.document is not None  # only shown cards are compared
    return card.document.created_at.timestamp()


def _priority(document: StatusDocument) -> str:
    request = document.request
    return request.priority if isinstance(request, ResolvedRequest) else "interactive"
