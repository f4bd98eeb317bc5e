"""What a workflow is called where its declaration is not at hand."""

from __future__ import annotations

from comfy import BUILT_IN


def title_of(workflow: str) -> str:
    """Returns the title of a built-in workflow, such as "Upscale"; the name of any other."""
    found = BUILT_IN.get(workflow)
    return workflow if found is None else found.title
