"""The documents of workflows that clients read, and what they send to change one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from api.documents import Document
from comfy.sources import SourceKind
from comfy.workflows import Judge, Readiness
from comfy.workflows.readiness import State
from comfy.workflows.secrets import without_secrets
from core.artefacts import ArtefactKind
from core.requests import GenerationRequest, request_schema
from core.workflows.declaration import (
    INPUTS_MAX,
    Help,
    Input,
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
_LACKS_MAX: Final = 100


class MissingNode(Document):
    """A node class that no known ComfyUI has."""

    node_class: str
    pack: str = Field(description="Where it is from, as the file says; empty if it does not.")
    version: str


class MissingModelFile(Document):
    """A model file that no known ComfyUI has."""

    name: str
    folder: str = Field(description="The folder of ComfyUI's `models` that it belongs into.")
    url: str = Field(description="Where the file says it is offered. Easel never fetches it.")
    near: list[str] = Field(description="Similar files that are there, best first.")


class MissingDocument(Document):
    """What no ComfyUI that is known has."""

    nodes: list[MissingNode] = Field(default_factory=list)
    models: list[MissingModelFile] = Field(default_factory=list)


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
    state: State | None = Field(
        description="Whether a known ComfyUI can carry it out. Null: none was reached yet."
    )
    lacks: list[str] = Field(
        description="The node classes, model files or problems for which it is not `ready`."
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


class ImportDocument(Document):
    """What became of a file."""

    declaration: WorkflowDocument
    dropped: list[DroppedNode] = Field(default_factory=list)
    missing: MissingDocument = MissingDocument()
    mapping: dict[str, str] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)


class ChoicesDocument(Document):
    """What ComfyUI has now, for the inputs whose choices are looked up."""

    inputs: dict[str, list[str | int | float | bool]] = Field(
        description="By the path of the input; `*` stands for an entry of a list."
    )


class SourceDocument(Document):
    """A workflow that Easel ships or this ComfyUI offers."""

    source: str = Field(
        description="As an import names it: `shipped:wan22-t2v`, `template:flux_dev`."
    )
    kind: SourceKind
    name: str
    title: str
    description: str
    media: str = Field(
        description="What it gives: an artefact's kind, or as ComfyUI says; may be empty."
    )


class SourcesDocument(Document):
    """What Easel ships, then what this ComfyUI offers: saved workflows, templates, blueprints."""

    items: list[SourceDocument]
    problem: str | None = Field(
        description="Why nothing of ComfyUI's is among them: it does not answer. Null: it did."
    )


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


@dataclass(frozen=True)
class LeftOut:
    """Inputs and outputs that a workflow does not declare, though its graph has them."""

    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()


def workflow_document(
    workflow: Workflow, url: str, stored: StoredWorkflow | None, judge: Judge | None = None
) -> WorkflowDocument:
    """Returns the document of a workflow; ``stored`` is None for a built-in one."""
    found = judge.readiness(workflow) if judge is not None else None
    return WorkflowDocument.model_construct(
        name=workflow.name,
        title=workflow.title,
        description=workflow.description,
        version=workflow.version,
        built_in=workflow.graph is None,
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
        state=found.state if found is not None else None,
        lacks=list(found.names[:_LACKS_MAX]) if found is not None else [],
        url=url,
    )


def missing_document(found: Readiness) -> MissingDocument:
    """Returns what a workflow lacks, with where it is to be had."""
    return MissingDocument(
        nodes=[
            MissingNode(node_class=one.class_type, pack=one.pack, version=one.version)
            for one in found.missing_classes[:_LACKS_MAX]
        ],
        models=[
            MissingModelFile(name=one.name, folder=one.folder, url=one.url, near=list(one.near))
            for one in found.missing_models[:_LACKS_MAX]
        ],
    )


def schema_of(workflow: Workflow) -> dict[str, Any]:
    """Returns the JSON Schema of a request for the workflow."""
    return request_schema(GenerationRequest, workflow)


def exported(workflow: Workflow) -> dict[str, Any]:
    """Returns the file of a workflow: its declaration with its graph, without keys and tokens."""
    safe, _ = without_secrets(workflow)
    told = safe.model_dump(mode="json", exclude_defaults=True)
    return {FORMAT: FORMAT_VERSION, **told}
