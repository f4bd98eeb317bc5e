"""Parts of a prompt that look as if something were done with them, and are sent as they are."""

from __future__ import annotations

import re
from typing import Final

from core.batches.wildcards import first_wildcard
from web.parts.wording import title

_ADDON: Final = re.compile(r"<(?:lora|lyco|lycoris|hypernet|embedding):[^<>]+>", re.IGNORECASE)


def literal_note(prompt: str) -> str:
    """Returns which parts of a prompt the model gets as plain text; an empty text if none."""
    said = []
    if (wildcard := first_wildcard(prompt)) is not None:
        said.append(
            f"“{title(wildcard, 40)}” goes to the model as it is written: wildcards are drawn in "
            "Bulk only."
        )
    if found := _ADDON.search(prompt):
        said.append(
            f"“{title(found[0], 40)}” goes to the model as plain text: Easel does not load it."
        )
    return " ".join(said)
