"""What Prefect's form for a run shows: the inputs of the deployment's workflow."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from core.requests import FlowRequest, request_schema
from core.workflows.declaration import Workflow

_REQUEST: Final = FlowRequest.__name__


def form_of(parameters: Mapping[str, Any], workflow: Workflow) -> dict[str, Any]:
    """Returns the schema of the flow's parameters with the workflow's inputs in its request.

    ``parameters`` is the schema that the flow has, or any of its deployments: Prefect calls
    ``definitions`` what is ``$defs`` in JSON Schema now.
    """
    form: dict[str, Any] = deepcopy(dict(parameters))
    request = _moved(request_schema(FlowRequest, workflow))
    own = request.pop("$defs", {})
    form["definitions"] = {**form.get("definitions", {}), **own, _REQUEST: request}
    return form


def _moved(value: Any) -> Any:
    """Returns the schema with its references as Prefect has them."""
    if isinstance(value, list):
        return [_moved(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: one.replace("#/$defs/", "#/definitions/")
        if name == "$ref" and isinstance(one, str)
        else _moved(one)
        for name, one in value.items()
    }
