"""ComfyUI's official templates, from their Python package where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

PACKAGE: Final = "comfyui_workflow_templates_json"


def packaged(template: str) -> bytes | None:
    """Returns the file of a template, None if the package or the template is not there."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / "templates" / f"{template}.json"
        if path.is_file():
            return path.read_bytes()
    return None
