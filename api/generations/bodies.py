"""The body of a create, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Any

from api.openapi import in_one_piece
from comfy import TXT2IMG
from core.requests import EXAMPLES, GenerationRequest, request_schema


def create_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a request: the default workflow's inputs, and those of others.

    Another workflow's inputs are told by ``GET /api/v1/workflows/{name}/schema``.
    """
    schema = in_one_piece(request_schema(GenerationRequest, TXT2IMG))
    return {**schema, "required": [], "additionalProperties": True, "examples": EXAMPLES}
