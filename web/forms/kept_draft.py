"""The values of a form, stored per visitor so that nothing typed is lost."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Self

from nicegui import app
from pydantic import BaseModel, ValidationError


class KeptDraft(BaseModel):
    """A form's values as the visitor left them, stored under ``KEY``."""

    KEY: ClassVar[str]

    @classmethod
    def load(cls) -> Self:
        """Returns the visitor's form; a new one if it cannot be read any more."""
        try:
            return cls.model_validate(storage().get(cls.KEY, {}))
        except ValidationError:
            return cls()

    def save(self) -> None:
        """Store the form; it is on disk a moment later."""
        storage()[self.KEY] = self.model_dump()

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
