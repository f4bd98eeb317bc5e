"""What Prefect's form for a run shows: the inputs of the deployment's workflow."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from comfy import TXT2IMG
from core.requests import FlowRequest, request_schema
from core.workflows.declaration import Workflow
from core.workflows.schema import inputs_model

_NO_URL: Final = {"patternProperties": {"^callback_url$": {"type": "null"}}}
"""Prefect shows the parameters of runs: a receiver's URL is refused before it is kept."""


class GenerateRequest(FlowRequest):
    """One request for one generation: the inputs of a workflow, and how it is to be carried out.

    What is left out gets the workflow's or the model's own defaults. `timeout_s` is seconds of
    execution in ComfyUI (time spent waiting does not count). Prefect shows the parameters of its
    flow runs: a callback can only be named.
    """

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The flow's own form shows the inputs of the built-in workflow."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        of_inputs = inputs_model(TXT2IMG).__pydantic_core_schema__
        inputs = handler.resolve_ref_schema(handler(of_inputs))
        schema["properties"] = {**inputs["properties"], **schema["properties"]}
        schema["required"] = [*inputs.get("required", ()), *schema.get("required", ())]
        return {**schema, **_NO_URL}


def form_of(parameters: Mapping[str, Any], workflow: Workflow) -> dict[str, Any]:
    """Returns the schema of the flow's parameters with the workflow's inputs in its request.

    ``parameters`` is the schema that the flow has, or any of its deployments: Prefect calls
    ``definitions`` what is ``$defs`` in JSON Schema now.
    """
    form: dict[str, Any] = deepcopy(dict(parameters))
    request = _moved(request_schema(FlowRequest, workflow))
    own = request.pop("$defs", {})
    name = form["properties"]["request"]["$ref"].rpartition("/")[2]
    form["definitions"] = {**form.get("definitions", {}), **own, name: {**request, **_NO_URL}}
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
