"""One output of an attempt on its way from ComfyUI to the store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comfy import FetchedFile, FetchedImage, Output, OutputText
from comfy.errors import NoOutputError
from core.artefacts import TEXT
from core.failpoints import reach
from core.infotext import KEYWORD, infotext
from core.png import keywords, with_texts
from core.workflows.declaration import Output as DeclaredOutput
from core.workflows.declaration import Role, Workflow
from flows.arrivals import Arrivals, pixels_of
from flows.errors import CancelRequested
from flows.opening import Opener
from store.artefacts.files import NewFile, NewPicture
from store.errors import NoSpaceError, StorageAwayError, StoreUnavailableError
from store.store import Store
from store.values import Artefact, Claim, Waiting

_PARTS: Final = re.compile("[:.]")
STORAGE_LOOK_S: Final = 5.0
"""Seconds between two tries to keep an output while the disk is full or the storage away."""
_NAME_MAX: Final = 255
_ROLES_SHOWN: Final[tuple[Role, ...]] = (
    *("prompt", "negative_prompt", "steps", "sampler", "scheduler", "cfg", "seed"),
    *("width", "height", "model"),
)
_OF_COMFYUI: Final = "prompt"
"""The text that ComfyUI writes into a PNG, unless it was told to write none."""
Log = logging.Logger | logging.LoggerAdapter[Any]


@dataclass(eq=False)
class Keeping:
    """Keeps one output of a workflow, which names it if it is declared.

    ``arrivals`` may have it already.
    """

    store: Store
    session: Opener
    claim: Claim
    position: int
    output: Output
    workflow: Workflow
    log: Log
    arrivals: Arrivals
    _picture: NewPicture | None = None

    async def keep(self) -> Artefact:
        """Fetch it, unless it was fetched early, and keep it.

        While the storage takes nothing it waits, however long. Raises CancelRequested when a cancel
        is asked for meanwhile.
        """
        arrived = await self.arrivals.of(self.output)
        async with self.arrivals.turns:
            if arrived is not None:
                self._picture = await self._new_picture(arrived)
            return await self._keep_patiently()

    async def _keep_patiently(self) -> Artefact:
        while True:
            try:
                return await self._keep()
            except NoSpaceError as error:
                advice = "Free some space: the output is finished and waits."
                waiting = Waiting("disk_full", f"{error}. {advice}")
            except StorageAwayError as error:
                advice = "The output is finished and waits; it is stored when the storage is back."
                waiting = Waiting("storage_away", f"{error}. {advice}")
            await self._wait(waiting)

    async def _keep(self) -> Artefact:
        if isinstance(self.output, OutputText):
            return await self._keep_file(FetchedFile(TEXT, _once(self.output.text.encode())))
        if self._picture is None:
            async with self.session.open(self.output, pixels_of(self.claim)) as fetched:
                reach("fetch.mid")
                if isinstance(fetched, FetchedFile):
                    return await self._keep_file(fetched)
            self._picture = await self._new_picture(fetched)
        claim = self.claim
        return await self.store.files.keep(
            claim.generation_id, claim.attempt, self.position, self._picture
        )

    async def _keep_file(self, fetched: FetchedFile) -> Artefact:
        claim = self.claim
        new = NewFile(
            type=fetched.type,
            chunks=fetched.chunks,
            seed=claim.request.seed,
            name=self._name,
            node=self.output.node or None,
            length=fetched.length,
        )
        return await self.store.files.keep_file(
            claim.generation_id, claim.attempt, self.position, new
        )

    async def _new_picture(self, fetched: FetchedImage) -> NewPicture:
        texts = embedded_texts(self.claim, self.workflow)
        return NewPicture(
            data=await asyncio.to_thread(_with_texts, fetched.data, texts),
            width=fetched.width,
            height=fetched.height,
            content_type=fetched.content_type,
            seed=self.claim.request.seed,
            name=self._name,
            node=self.output.node or None,
            small=fetched.small,
        )

    @property
    def _name(self) -> str:
        """The declared name of its node, else the file's in ComfyUI."""
        names = {each.node: each.name for each in self.workflow.outputs}
        node = self.output.node
        declared = next((names[each] for each in owners_of(node) if each in names), None)
        given = "text" if isinstance(self.output, OutputText) else self.output.filename
        return (declared or given)[:_NAME_MAX]

    async def _wait(self, waiting: Waiting) -> None:
        """Record why it waits. The row may be on the same full disk: then only the log has it."""
        self.log.warning("The output cannot be stored yet: %s", waiting.detail)
        with contextlib.suppress(StoreUnavailableError):
            if await self.store.transitions.record_waiting(self.claim, waiting) == "cancelling":
                raise CancelRequested
        await asyncio.sleep(STORAGE_LOOK_S)


def owners_of(node: str) -> frozenset[str]:
    """Returns the nodes of the graph that a node may belong to, itself among them.

    What is in a subgraph has an id that begins so ("129:108"), and so has what a node expands into
    ("129.0.0.3").
    """
    return frozenset({node, node.partition(".")[0], _PARTS.split(node, maxsplit=1)[0]})


def check_declared(outputs: Sequence[Output], declared: Sequence[DeclaredOutput]) -> None:
    """Raise NoOutputError if outputs came, but none from a node that is to give one.

    Files that were found by their names do not say which node gave them.
    """
    wanted = {each.node for each in declared if not each.optional}
    nodes = {each.node for each in outputs}
    given = nodes.union(*map(owners_of, nodes))
    if wanted and "" not in given and not wanted & given:
        raise NoOutputError(f"ComfyUI finished without an output of {', '.join(sorted(wanted))}")


def embedded_texts(claim: Claim, workflow: Workflow) -> dict[str, str]:
    """Returns the texts that its pictures are to carry, by their keywords in the PNG.

    With the workflow in the form of ComfyUI's page, a picture that is dropped there opens it.
    """
    values: dict[str, Any] = {role: claim.request.value(role) for role in _ROLES_SHOWN}
    text = infotext(values)
    texts = {KEYWORD: text} if text is not None else {}
    if workflow.ui is not None:
        texts["workflow"] = json.dumps(workflow.ui)
    return texts


def _with_texts(data: bytes, texts: Mapping[str, str]) -> bytes:
    """Add texts where ComfyUI wrote its own: an operator may have told it to write none."""
    return with_texts(data, texts) if _OF_COMFYUI in keywords(data) else data


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
