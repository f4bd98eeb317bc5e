"""The values of a form, stored per visitor so that nothing typed is lost."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Final, Self

from nicegui import app, context
from pydantic import BaseModel, PrivateAttr, ValidationError

TABS_KEPT: Final = 8
"""Number of a visitor's tabs whose forms are kept apart. A new tab begins with the newest form."""


class KeptDraft(BaseModel):
    """A form's values as the visitor left them, stored under ``KEY``, and once more for its tab."""

    KEY: ClassVar[str]
    _tab: str | None = PrivateAttr(default=None)

    @classmethod
    def load(cls) -> Self:
        """Returns the form of this tab; the visitor's newest while the tab is not known yet.

        A new one if it cannot be read any more.
        """
        tab = context.client.tab_id
        found = cls.load_of(tab) if tab is not None else None
        if found is None:
            found = cls.read(storage().get(cls.KEY, {})) or cls()
            if tab is not None:
                found.belongs_to(tab)
        return found

    @classmethod
    def load_of(cls, tab: str) -> Self | None:
        """Returns the form as this tab left it; None if it is not known."""
        found = storage().get(cls._tabs_key(), {}).get(tab)
        draft = cls.read(found) if found is not None else None
        if draft is not None:
            draft.belongs_to(tab)
        return draft

    @classmethod
    def read(cls, found: Any) -> Self | None:
        """Returns the form that was stored; None if it cannot be read any more."""
        try:
            return cls.model_validate(found)
        except ValidationError:
            return None

    @classmethod
    def _tabs_key(cls) -> str:
        return f"{cls.KEY}-tabs"

    def belongs_to(self, tab: str) -> None:
        """Keep the form for this tab too: another tab's form does not replace it."""
        self._tab = tab

    def keep_replaced(self) -> None:
        """Note what another page replaces in the form: the form's page offers it back."""
        storage()[f"{self.KEY}-replaced"] = self.model_dump()

    @classmethod
    def take_replaced(cls) -> Self | None:
        """Returns what another page replaced in the form, once."""
        found = storage().pop(f"{cls.KEY}-replaced", None)
        return cls.read(found) if found is not None else None

    def belongs_to_this_tab(self) -> None:
        """Keep the form for the tab of the page that is open."""
        if (tab := context.client.tab_id) is not None:
            self.belongs_to(tab)

    def save(self) -> None:
        """Store the form; it is on disk a moment later."""
        kept = self.model_dump()
        storage()[self.KEY] = kept
        if self._tab is not None:
            tabs = {**storage().get(self._tabs_key(), {})}
            tabs.pop(self._tab, None)
            newest = [*tabs.items(), (self._tab, kept)][-TABS_KEPT:]
            storage()[self._tabs_key()] = dict(newest)

    def change(self, **values: Any) -> Collection[str]:
        """Set these fields and store the form. Returns the names of those that differed."""
        changed = [name for name, value in values.items() if getattr(self, name) != value]
        for name in changed:
            setattr(self, name, values[name])
        if changed:
            self.save()
        return changed


def storage() -> dict[str, Any]:
    """Returns what is stored for the visitor of this page."""
    return app.storage.user
