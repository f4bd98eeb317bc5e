"""Parts of a prompt that look as if something were done with them, and are sent as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from core.batches.wildcards import first_wildcard
from core.workflows.declaration import Workflow
from web.parts.wording import title

_ADDON: Final = re.compile(r"<(?:lora|lyco|lycoris|hypernet|embedding):[^<>]+>", re.IGNORECASE)
_NO_LORA: Final = re.compile(r"<(?:lyco|lycoris|hypernet|embedding):[^<>]+>", re.IGNORECASE)


def literal_note(prompt: str, workflow: Workflow, more: Mapping[str, Any]) -> str:
    """Returns which parts of a prompt the model gets as plain text; an empty text if none.

    ``more`` are the values of the workflow's inputs besides the prompt.
    """
    said = []
    is_drawn = bool(more.get("wildcards"))
    if not is_drawn and (wildcard := first_wildcard(prompt)) is not None:
        how = (
            "tick “Draw wildcards” under Advanced to have it drawn."
            if "wildcards" in workflow.by_name
            else "wildcards are drawn in Bulk only."
        )
        said.append(f"“{title(wildcard, 40)}” goes to the model as it is written: {how}")
    addon = _NO_LORA if "loras" in workflow.by_name else _ADDON
    if found := addon.search(prompt):
        said.append(
            f"“{title(found[0], 40)}” goes to the model as plain text: Easel does not load it."
        )
    return " ".join(said)
