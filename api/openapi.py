"""Parts of the OpenAPI document that FastAPI cannot derive: error answers, strictly read bodies."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from core.problems import KINDS

_REF: Final = "#/$defs/"
_T = TypeVar("_T")


class _WithoutNull:
    """An annotation: the schema does not offer null."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return without_null(handler(schema))


Omittable = Annotated[_T | None, _WithoutNull()]
"""A parameter that may be left out. No query and no header can say null."""


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of what may be null, as it is when it is not."""
    some = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(some) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **some[0]}


UNCHANGED: Final[dict[str, Any]] = {"description": "Unchanged since the client's `If-None-Match`"}
_ANYWHERE: Final = ("bad_request", "unknown_host", "foreign_origin", "internal_error")
"""What is answered in front of every route, or because of a bug."""
_OTHERS: Final = "Any other error: 401, 408, 414 and 431 too may come from anywhere"


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Returns the error answers of a route, for its documentation; all have one shape.

    ``codes`` are those of ``core.problems``.
    """
    said: dict[int, list[str]] = {}
    for code in dict.fromkeys((*_ANYWHERE, *codes)):
        kind = KINDS[code]
        said.setdefault(kind.http_status, []).append(f"`{code}`: {kind.title}")
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        **{
            status: {"description": "; ".join(said[status]), "content": content}
            for status in sorted(said)
        },
        "default": {"description": _OTHERS, "content": content},
    }


def query_parameters(*models: type[BaseModel]) -> list[dict[str, Any]]:
    """Returns the fields of models as query parameters, for a route that reads them itself."""
    return [
        {"name": name, "in": "query", "required": False, **_in_query(schema)}
        for model in models
        for name, schema in body_schema(model)["properties"].items()
    ]


def _in_query(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns a field's schema without null, which a query cannot say.

    Its default is told in words: /docs would fill it in, and send it beside a body.
    """
    described, default = schema.pop("description", schema["title"]), schema.pop("default", None)
    if default is not None:
        described = f"{described.rstrip('.')}. Default: {json.dumps(default)}."
    wanted = without_null(schema)
    # A name that is there twice is a mistake: the entries of a list stand in one value.
    listed = {"style": "form", "explode": False} if wanted.get("type") == "array" else {}
    return {"description": described, **listed, "schema": wanted}


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Returns the schema in one piece: references would dangle in the OpenAPI document.

    Only for models that are not recursive.
    """
    return in_one_piece(model.model_json_schema())


def in_one_piece(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns a schema without ``$defs``: what they have stands where it is referred to."""
    definitions: dict[str, Any] = schema.get("$defs", {})
    rest = {name: value for name, value in schema.items() if name != "$defs"}
    inlined: dict[str, Any] = _inlined(rest, definitions)
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
