"""What each workflow gave last, as a small image."""

from __future__ import annotations

from api.generations.documents import OutputDocument
from api.generations.facade import Facade
from store.values import HistoryFilter
from web.parts.trash import Trash


async def cover_of(facade: Facade, trash: Trash, workflow: str) -> str | None:
    """Returns the URL of a poster of the newest artefact of a workflow, None if there is none."""
    wanted = HistoryFilter(workflow=workflow, status=("succeeded",))
    page = await facade.history(wanted, 1 + len(trash.ids), None)
    for item in page.items:
        if item.task_id not in trash and (found := _poster(item.outputs)) is not None:
            return found
    return None


def _poster(outputs: list[OutputDocument]) -> str | None:
    ordered = sorted(outputs, key=lambda one: not one.primary)
    return next((one.poster_url for one in ordered if one.poster_url is not None), None)
