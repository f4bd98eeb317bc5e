"""The documents of workflows that clients read, and what they send to change one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from api.documents import Document
from comfy import BUILT_IN
from core.artefacts import ArtefactKind
from core.requests import GenerationRequest, request_schema
from core.workflows.declaration import (
    INPUTS_MAX,
    Help,
    Input,
    ModelFile,
    NodePack,
    Origin,
    Output,
    Requires,
    Workflow,
)
from core.workflows.schema import inputs_schema
from store.workflows import StoredWorkflow

FORMAT: Final = "easel_workflow"
"""The key by which a file that Easel exported is known; its value is the version of the form."""
FORMAT_VERSION: Final = 1


class WorkflowDocument(Document):
    """A workflow: what a request names in `workflow`."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    name: str
    title: str
    description: str
    version: str = Field(
        description="A hash of all that it says: another one whenever it was changed."
    )
    built_in: bool = Field(description="Easel brings it: it cannot be changed or removed.")
    kind: ArtefactKind | None = Field(
        description="The kind of its primary output. Null if it declares none."
    )
    inputs: list[Input] = Field(description="In the order of a form.")
    roles: dict[str, str] = Field(description="The name of the input that has each role.")
    outputs: list[Output]
    requires: Requires
    mapping: dict[str, str] = Field(
        description="File names of models that the graph has, and the name to use instead."
    )
    origin: Origin | None
    created_at: datetime | None = Field(description="When it was imported; null if built in.")
    updated_at: datetime | None = Field(description="When it was last changed.")
    schema_: dict[str, Any] = Field(
        alias="schema", description="The JSON Schema of its inputs; `x-role` says what each means."
    )
    url: str


class WorkflowsDocument(Document):
    """Every workflow that is offered, the built-in ones first."""

    items: list[WorkflowDocument]


class DroppedNode(Document):
    """A node of the file that the workflow does without."""

    node: str
    node_class: str
    reason: str


class MissingDocument(Document):
    """What no ComfyUI that is known has."""

    nodes: list[NodePack] = Field(default_factory=list)
    models: list[ModelFile] = Field(default_factory=list)


class ImportDocument(Document):
    """What became of a file."""

    declaration: WorkflowDocument
    dropped: list[DroppedNode] = Field(default_factory=list)
    missing: MissingDocument = MissingDocument()
    mapping: dict[str, str] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)


class WorkflowChange(BaseModel):
    """The part of a workflow that can be changed; what is left out stays as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    title: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    description: Help | None = None
    inputs: Annotated[list[Input], Field(max_length=INPUTS_MAX)] | None = Field(
        default=None, description="All of them, in the order of a form."
    )
    outputs: list[Output] | None = None
    mapping: dict[str, str] | None = None


def workflow_document(
    workflow: Workflow, url: str, stored: StoredWorkflow | None
) -> WorkflowDocument:
    """Returns the document of a workflow; ``stored`` is None for a built-in one."""
    return WorkflowDocument.model_construct(
        name=workflow.name,
        title=workflow.title,
        description=workflow.description,
        version=workflow.version,
        built_in=workflow.name in BUILT_IN,
        kind=workflow.kind,
        inputs=list(workflow.inputs),
        roles=dict(workflow.roles),
        outputs=list(workflow.outputs),
        requires=workflow.requires,
        mapping=workflow.mapping,
        origin=workflow.origin,
        created_at=stored.created_at if stored is not None else None,
        updated_at=stored.updated_at if stored is not None else None,
        schema_=inputs_schema(workflow),
        url=url,
    )


def schema_of(workflow: Workflow) -> dict[str, Any]:
    """Returns the JSON Schema of a request for the workflow."""
    return request_schema(GenerationRequest, workflow)


def exported(workflow: Workflow) -> dict[str, Any]:
    """Returns the file of a workflow: its declaration with its graph."""
    told = workflow.model_dump(mode="json", exclude_defaults=True)
    return {FORMAT: FORMAT_VERSION, **told}
