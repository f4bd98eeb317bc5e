"""JSON columns as they are read."""

from __future__ import annotations

import json
from typing import Any

from core.text import encodable_json


def read_json(text: str) -> Any:
    """Read a JSON column. Earlier versions stored texts that no answer can be made of."""
    return json.loads(encodable_json(text))
