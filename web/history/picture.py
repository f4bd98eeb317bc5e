"""One generation, linkable: its outputs, settings, attempts, and actions."""

from __future__ import annotations

from uuid import UUID

from nicegui import ui

from api.generations.documents import OutputDocument, StatusDocument
from core.ids import parse_generation_id
from core.requests import DEFAULT_WORKFLOW, GenerationRequest, ResolvedRequest
from core.status import RETRYABLE, is_final
from store.errors import DeletedError, NotFoundError
from store.values import Generation, Neighbours
from web.forms.onward import Onward, build_onward, go_with, take_along
from web.history import reuse
from web.history.details import (
    build_attempts,
    build_batch,
    build_copies,
    build_prompt,
    build_settings,
    created,
    heard_by,
)
from web.history.listing import Listing
from web.history.viewer import Viewer
from web.parts.callbacks import LOOK_EVERY_S, Callbacks
from web.parts.clock import ask_zone
from web.parts.elements import Text, adorn, box, button, link, local
from web.parts.layout import Frame, Web, errors_as_toasts, section
from web.parts.live import Live
from web.parts.notices import build_notices
from web.parts.outputs import KIND_WORDS


class PicturePage:
    """One open picture page. The arrows change what it shows, and its URL with it."""

    def __init__(self, web: Web, task_id: str, number: int, listing: Listing) -> None:
        self._web = web
        self._listing = listing
        self._id = parse_generation_id(task_id)
        self._number = number
        self._document: StatusDocument | None = None
        self._created: Text | None = None
        self._callbacks: Callbacks | None = None
        self._images: list[OutputDocument] = []
        self._beside = Neighbours(None, None)
        self._live = Live(web.facade)
        self._onward = Onward(web, take_along, go_with)
        self._loads = 0
        self._frame = Frame(web, "Image", self._load, self._show_again)
        with box("picture"):
            with section("viewer-area", "Generation") as self._area:
                self._viewer = Viewer(
                    listing,
                    errors_as_toasts(self._to_before),
                    errors_as_toasts(self._to_after),
                    errors_as_toasts(self._retry),
                )
            with section("details", "Details") as details:
                self._details = details

    async def start(self) -> None:
        """Load it, then follow it."""
        await self._load()
        self._frame.start()
        ask_zone(self._zone_known)
        self._live.start(self._changed)
        ui.timer(LOOK_EVERY_S, self._look_at_callbacks, immediate=False)

    async def _look_at_callbacks(self) -> None:
        if self._callbacks is not None:
            await self._callbacks.look()

    def _zone_known(self) -> None:
        """Show the times in the visitor's zone.

        In place: a press on a button that is built anew meanwhile is lost, and the zone is known
        just when a new visitor may press the first one.
        """
        if self._document is not None and self._created is not None:
            self._created.text = created(self._document)
        if self._callbacks is not None:
            self._callbacks.show()

    # --- reading

    async def _load(self) -> None:
        facade, wanted = self._web.facade, self._id
        self._document, self._images, self._callbacks = None, [], None
        self._loads = load = self._loads + 1
        if wanted is None or wanted in self._web.trash:
            self._say_gone(deleted=wanted is not None)
            return
        try:
            document = await facade.status(wanted)
            images = await facade.outputs(wanted)
            beside = await self._listing.neighbours(self._web, wanted)
        except NotFoundError as error:
            if load == self._loads:
                self._say_gone(deleted=isinstance(error, DeletedError))
            return
        if load != self._loads:
            return  # a later load shows newer data
        self._document, self._images, self._beside = document, images, beside
        self._number = max(0, min(self._number, len(self._images) - 1))
        self._show()
        await self._show_details()

    def _say_gone(self, *, deleted: bool) -> None:
        ui.page_title("Not found · Easel")
        self._viewer.say(
            "This generation was deleted" if deleted else "There is no such generation",
            "What was deleted cannot be restored." if deleted else "The link may be incomplete.",
        )
        self._details.clear()

    def _show(self) -> None:
        document = self._document
        assert document is not None  # _load has read it
        ui.page_title(f"{self._kind_words()} · Easel")
        adorn(self._area, aria_label=self._kind_words())
        self._viewer.show(
            document,
            self._images,
            self._number,
            before=self._number > 0 or self._beside.before is not None,
            after=self._number + 1 < len(self._images) or self._beside.after is not None,
        )

    def _kind_words(self) -> str:
        """Returns what the browser's title says: browsers keep titles, so never the prompt."""
        return KIND_WORDS[self._images[self._number].kind] if self._images else "Generation"

    async def _changed(self, generation: Generation) -> None:
        if generation.id != self._id:
            return
        if self._document is None:  # being loaded: perhaps read just before this change
            await self._load()
            return
        if generation.sequence <= self._document.sequence:
            return  # read already: the feed may bring what was committed just before the page
        before = self._document.status
        if before != generation.status or is_final(generation.status):
            await self._load()
            return
        self._document = await self._web.facade.document(generation)
        self._show()

    # --- moving

    async def _to_before(self) -> None:
        if self._number > 0:
            await self._go(self._id, self._number - 1)
        elif self._beside.before is not None:
            await self._go(self._beside.before, 10_000)

    async def _to_after(self) -> None:
        if self._number + 1 < len(self._images):
            await self._go(self._id, self._number + 1)
        elif self._beside.after is not None:
            await self._go(self._beside.after, 0)

    async def _go(self, task_id: UUID | None, number: int) -> None:
        self._id, self._number = task_id, number
        await self._load()
        at = f"i={self._number}" if self._number else ""
        query = "&".join(part for part in (at, self._listing.query) if part)
        ui.navigate.history.replace(f"/g/{task_id}?{query}" if query else f"/g/{task_id}")

    # --- details

    async def _show_details(self) -> None:
        document = self._document
        assert document is not None  # _load has read it
        attempts = (await self._web.facade.attempts(document.task_id)).attempts
        batch = await self._web.batches.membership(document.task_id)
        own = heard_by(document, batch)
        callbacks = Callbacks(self._web.deliveries, own, task_id=document.task_id)
        await callbacks.read()
        workflow = await self._web.facade.workflow(document.request.workflow)
        await self._onward.load()
        if document is not self._document:
            return  # the page shows something newer by now
        self._callbacks = callbacks
        self._details.clear()
        with self._details:
            build_prompt(document.request)
            build_notices(document)
            if batch is not None:
                build_batch(batch)
            self._build_actions(document)
            self._created = build_settings(document, workflow, self._seed(document))
            build_copies(document, self._web.facade.links.status(document.task_id))
            callbacks.build()
            build_attempts(attempts, document.request.model)

    def _build_actions(self, document: StatusDocument) -> None:
        with box("actions"):
            primary = "btn-primary" if document.status == "succeeded" else ""
            readable = isinstance(document.request, ResolvedRequest)
            if readable:
                button(
                    "Vary", errors_as_toasts(self._vary), icon_name="vary", classes=primary, key="v"
                )
            if readable and document.status in RETRYABLE:
                button("Retry", errors_as_toasts(self._retry), icon_name="retry")
            if not is_final(document.status):
                button("Cancel", errors_as_toasts(self._cancel), icon_name="close")
            if self._images:
                url = local(self._images[self._number].url)
                link("Download", url, icon_name="save", key="s", download=True)
            button("Delete", errors_as_toasts(self._delete), icon_name="trash", key="Delete")
        self._build_onward(document)
        if readable:
            self._build_reuse()

    def _build_reuse(self) -> None:
        request = self._request()
        with box("reuse", role="group", aria_label="Reuse in the studio"):
            button("Reuse settings", errors_as_toasts(self._use_all), classes="btn-small", key="a")
            if request.plan.input_of("prompt") or request.workflow == DEFAULT_WORKFLOW:
                button("Prompt only", errors_as_toasts(self._use_prompt), classes="btn-small")
            if request.seed is not None:
                button("Seed only", errors_as_toasts(self._use_seed), classes="btn-small")

    def _build_onward(self, document: StatusDocument) -> None:
        """Offer what is shown as the file of an input, a video's frame too."""
        if not self._images:
            return
        with box("actions onward"):
            build_onward(self._onward, self._images[self._number], document.request)

    # --- what the visitor does

    async def _vary(self) -> None:
        request = self._request()
        again = request.without("seed")
        values = again.model_dump(exclude={"metadata", "priority"})
        made = await self._web.facade.create(GenerationRequest(**values))
        ui.navigate.to(f"/?g={made.task_id}")

    async def _retry(self) -> None:
        if self._id is not None:
            await self._web.facade.retry(self._id)

    async def _cancel(self) -> None:
        if self._id is not None:
            await self._web.facade.cancel(self._id)
            await self._load()

    async def _delete(self) -> None:
        """Show the next one before deleting: the place in the history is kept."""
        gone = self._id
        if gone is None or self._document is None:
            return
        beside = self._beside.after or self._beside.before
        if beside is not None:
            self._web.trash.put([gone])
            await self._go(beside, 0)
        await self._frame.delete([gone])

    async def _show_again(self, ids: tuple[UUID, ...]) -> None:
        """Show what was taken back from the trash: the page has gone on to its neighbour."""
        await self._go(ids[0], 0)

    async def _use_all(self) -> None:
        await reuse.use_all(self._web, self._request())

    async def _use_prompt(self) -> None:
        await reuse.use_prompt(self._request())

    async def _use_seed(self) -> None:
        request = self._request()
        await reuse.use_seed(request, self._seed(self._document))

    def _seed(self, document: StatusDocument | None) -> int | None:
        kept = self._images[self._number].seed if self._images else None
        return document.request.seed if kept is None and document is not None else kept

    def _request(self) -> ResolvedRequest:
        assert self._document is not None  # without it there are no buttons
        assert isinstance(self._document.request, ResolvedRequest)
        return self._document.request
