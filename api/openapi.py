"""Parts of the OpenAPI document that FastAPI cannot derive: error answers, strictly read bodies."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel

_REF: Final = "#/$defs/"


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Returns the error answers of a route, for its documentation; all have one shape."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        **{code: {"description": HTTPStatus(code).phrase, "content": content} for code in codes},
        "default": {"description": "Any other error", "content": content},
    }


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Returns the schema in one piece: references would dangle in the OpenAPI document.

    Only for models that are not recursive.
    """
    schema = model.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs", {})
    inlined: dict[str, Any] = _inlined(schema, definitions)
    return inlined


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_inlined(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str) and reference.startswith(_REF):
        rest = {name: item for name, item in value.items() if name != "$ref"}
        return _inlined({**definitions[reference.removeprefix(_REF)], **rest}, definitions)
    return {name: _inlined(item, definitions) for name, item in value.items()}
