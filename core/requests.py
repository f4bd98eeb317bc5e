"""What a client asks for, before and after every default is resolved.

A request is an *envelope*, the same for every workflow, and the *inputs* of the workflow that it
names. On the wire the inputs stand beside the envelope; an input that has the name of one of its
fields can be given in ``inputs`` only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from core.callbacks.callback import (
    GENERATION_ENDS,
    Callback,
    CallbackName,
    GenerationEvents,
    callback_of,
    without_url,
)
from core.callbacks.url import CallbackUrl
from core.fields import METADATA_KEY_MAX, MetadataValue, Text
from core.invalid import all_of, invalid_at
from core.stored import Unreadable, read_stored, reason_of
from core.uploads import Reference, references_in
from core.wording import nearest
from core.workflows.declaration import Role, Workflow
from core.workflows.limits import check_pixels
from core.workflows.plan import Plan
from core.workflows.schema import inputs_model, inputs_schema

METADATA_KEYS_MAX: Final = 50
TIMEOUT_MAX_S: Final = 86_400
DEFAULT_WORKFLOW: Final = "txt2img"
"""The workflow of a request that names none."""
INPUTS: Final = "inputs"
_PLAN: Final = "$plan"
_FILES: Final = "files"

Priority = Literal["interactive", "bulk"]
_WorkflowText = Annotated[str, Field(max_length=64)]

EXAMPLES: Final[list[dict[str, Any]]] = [
    {"prompt": "a red fox"},
    {
        "prompt": "a red fox at dawn, film grain",
        "negative_prompt": "blurry",
        "width": 1024,
        "height": 1024,
        "steps": 25,
        "cfg": 6.5,
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "batch_size": 1,
        "metadata": {"order": "42"},
    },
]


class _Base(BaseModel):
    # An error's text goes into logs, and a request may hold the URL of a receiver. Nothing is left
    # to ignore: whatever the envelope does not have becomes an input.
    model_config = ConfigDict(
        strict=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


class RequestFields(_Base):
    """One request for one generation: an envelope, and the inputs of its workflow.

    ``timeout_s`` is seconds of execution in ComfyUI (time spent waiting does not count). Only what
    belongs to the envelope is checked here; ``read_request_of`` checks the inputs too.
    """

    workflow: _WorkflowText = Field(
        default=DEFAULT_WORKFLOW, description="A workflow's name, as `GET /api/v1/workflows` lists."
    )
    inputs: dict[str, Any] = Field(
        default_factory=dict,
        description="The workflow's inputs; they may as well stand beside the other fields.",
    )
    priority: Priority = Field(
        default="interactive", description="`bulk` waits until nothing interactive does."
    )
    timeout_s: Annotated[int, Field(ge=1, le=TIMEOUT_MAX_S)] = 600
    callback: CallbackName | None = Field(
        default=None,
        description="The name of a stored callback (`easel webhooks add NAME URL`), which hears "
        "how it ends.",
    )
    callback_events: GenerationEvents | None = Field(
        default=None,
        description="What the callback hears of; the ends (`generation.succeeded`, `.failed` and "
        "`.cancelled`) unless it is given.",
    )
    metadata: Annotated[
        dict[Annotated[Text, Field(min_length=1, max_length=METADATA_KEY_MAX)], MetadataValue],
        Field(max_length=METADATA_KEYS_MAX),
    ] = Field(default_factory=dict, description="Your own labels, given back as they are.")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, fields: Any) -> Any:
        return gathered(fields) if isinstance(fields, dict) else fields

    @model_validator(mode="after")
    def _has_one_callback(self) -> Self:
        _ = self.wanted_callback
        return self

    @property
    def wanted_callback(self) -> Callback | None:
        """The callback that it asks for."""
        return callback_of(
            self.callback, self.callback_events, ends=GENERATION_ENDS, url=self._receiver
        )

    @property
    def _receiver(self) -> str | None:
        return None

    @model_serializer(mode="wrap")
    def _flat(self, handler: Any) -> dict[str, Any]:
        return flat(handler(self))


class FlowRequest(RequestFields):
    """One request for one generation: a workflow's inputs, and how it is to be carried out.

    Which inputs there are is said by the workflow. What is left out gets the workflow's or the
    model's own defaults. ``timeout_s`` is seconds of execution in ComfyUI (time spent waiting does
    not count). Prefect shows the parameters of its flow runs: a callback can only be named.
    """

    @model_validator(mode="before")
    @classmethod
    def _only_names_its_receiver(cls, fields: Any) -> Any:
        return without_url(fields) if isinstance(fields, dict) else fields


class GenerationRequest(RequestFields):
    """One request for one generation: a workflow's inputs, and how it is to be carried out.

    Which inputs there are is said by the workflow (`GET /api/v1/workflows/{name}/schema`); those of
    `txt2img` are listed here. What is left out gets the workflow's or the model's own defaults.
    """

    callback_url: CallbackUrl | None = Field(
        default=None,
        repr=False,
        description="Where to `POST` how it ended, signed as in Standard Webhooks. It must be on "
        "the public internet, or be allowed by EASEL_WEBHOOKS__ALLOW.",
    )

    @property
    def _receiver(self) -> str | None:
        return self.callback_url


ENVELOPE: Final = tuple(name for name in GenerationRequest.model_fields if name != INPUTS)
"""The fields that every request may have, whichever its workflow. An input of such a name can be
given in ``inputs`` only."""
_Request = TypeVar("_Request", bound=RequestFields)


def gathered(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a request with its inputs in one place.

    Raises ValidationError for an input that is given twice.
    """
    own = fields.get(INPUTS)
    if not isinstance(own, Mapping | None):
        return dict(fields)  # the schema says what is wrong
    inputs = dict(own or {})
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        if name in ENVELOPE:
            kept[name] = value
        elif name in inputs:
            said = f"is given twice: here and in `{INPUTS}`"
            raise invalid_at((name,), "given_twice", said)
        elif name not in (INPUTS, _PLAN):
            inputs[name] = value
    return {**kept, INPUTS: inputs}


def flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of ``gathered``: the inputs beside the envelope, where they can stand there."""
    inputs = fields.get(INPUTS) or {}
    beside = {name: value for name, value in inputs.items() if name not in (*ENVELOPE, INPUTS)}
    inside = {name: value for name, value in inputs.items() if name not in beside}
    envelope = {name: value for name, value in fields.items() if name != INPUTS}
    return {**beside, **envelope, **({INPUTS: inside} if inside else {})}


def workflow_of(fields: Any) -> str | None:
    """Returns the name of the workflow that a request names; None if it names no text."""
    name = fields.get("workflow", DEFAULT_WORKFLOW) if isinstance(fields, Mapping) else None
    return name if isinstance(name, str) else None


def read_request_of(
    kind: type[_Request],
    fields: Mapping[str, Any],
    workflow: Workflow | None,
    known: Iterable[str] = (),
) -> _Request:
    """Returns the request with its inputs checked against the workflow: those given, typed.

    ``workflow`` is the one that it names, None if there is none; ``known`` are the names of all.
    Raises ValidationError with everything that is wrong with envelope and inputs.
    """
    errors: list[ValidationError] = []
    request, inputs = None, None
    try:
        request = kind.model_validate(fields)
    except ValidationError as error:
        errors.append(error)
    if workflow is not None:
        try:
            inputs = checked_inputs(workflow, gathered(fields).get(INPUTS) or {})
        except ValidationError as error:
            errors.append(error)
    elif workflow_of(fields) is not None:
        errors.append(unknown_workflow(str(workflow_of(fields)), list(known)))
    if errors or request is None or inputs is None:
        raise errors[0] if len(errors) == 1 else all_of(errors)
    return request.model_copy(update={INPUTS: inputs})


def checked_inputs(workflow: Workflow, inputs: Any) -> dict[str, Any]:
    """Returns the inputs that are given, as the workflow declares them.

    Raises ValidationError; the place of an input is its name.
    """
    if not isinstance(inputs, Mapping):
        return {}  # the envelope's schema says what is wrong
    made = inputs_model(workflow).model_validate(dict(inputs))
    given = made.model_dump(mode="json", by_alias=True, exclude_unset=True)
    values = {name: value for name, value in given.items() if value is not None}
    _check_size(workflow, values)
    return values


def _check_size(workflow: Workflow, values: Mapping[str, Any]) -> None:
    width, height, many = (_of_role(workflow, role, values) for role in _SIZE)
    if isinstance(width, int) and isinstance(height, int):
        try:
            check_pixels(width, height, many if isinstance(many, int) else 1)
        except ValueError as error:
            raise invalid_at((), "value_error", str(error)) from error


_SIZE: Final[tuple[Role, ...]] = ("width", "height", "batch_size")


def _of_role(workflow: Workflow, role: Role, values: Mapping[str, Any]) -> Any:
    one = workflow.of_role(role)
    return None if one is None else values.get(one.name, one.default)


def unknown_workflow(name: str, known: Sequence[str]) -> ValidationError:
    """Returns the error of a request for a workflow that there is not."""
    near = f"; {nearest(name, known, 'workflows')}" if known else ""
    return invalid_at(("workflow",), "unknown_workflow", f"there is no such workflow{near}")


def request_schema(kind: type[RequestFields], workflow: Workflow) -> dict[str, Any]:
    """Returns the JSON Schema of a request for this workflow, its inputs beside the envelope."""
    schema = kind.model_json_schema()
    inputs = inputs_schema(workflow)
    properties = dict(schema.get("properties", {}))
    beside = {k: v for k, v in inputs["properties"].items() if k not in properties}
    order = [*beside, *properties]
    schema["properties"] = {name: (beside | properties)[name] for name in order}
    required = [name for name in inputs.get("required", ()) if name in beside]
    if required:
        schema["required"] = [*schema.get("required", ()), *required]
    schema["$defs"] = {**inputs.get("$defs", {}), **schema.get("$defs", {})}
    if not schema["$defs"]:
        del schema["$defs"]
    schema["properties"]["workflow"] = {
        **schema["properties"]["workflow"],
        "default": workflow.name,
    }
    return schema


class _ByRole(BaseModel):
    """Values by what they mean, for what shows and finds generations of any workflow."""

    def value(self, role: Role) -> Any:
        """Returns the value of the input that has the role, None if there is none."""
        raise NotImplementedError

    @property
    def prompt(self) -> str:
        """The prompt, empty if there is none."""
        return str(self.value("prompt") or "")

    @property
    def negative_prompt(self) -> str:
        """The negative prompt, empty if there is none."""
        return str(self.value("negative_prompt") or "")

    @property
    def model(self) -> str:
        """The model's file name, empty if there is none."""
        return str(self.value("model") or "")

    @property
    def seed(self) -> int | None:
        """The seed, None for a workflow that has none."""
        return _whole(self.value("seed"))

    @property
    def width(self) -> int | None:
        """The width in pixels, None where only ComfyUI knows it."""
        return _whole(self.value("width"))

    @property
    def height(self) -> int | None:
        """The height in pixels, None where only ComfyUI knows it."""
        return _whole(self.value("height"))

    @property
    def cfg(self) -> float | None:
        """How strongly the result follows the prompt."""
        value = self.value("cfg")
        return value if isinstance(value, int | float) else None

    @property
    def sampler(self) -> str:
        """The sampler's name, empty if there is none."""
        return str(self.value("sampler") or "")

    @property
    def scheduler(self) -> str:
        """The scheduler's name, empty if there is none."""
        return str(self.value("scheduler") or "")

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels; None where only ComfyUI knows them."""
        width, height = self.width, self.height
        return (width, height) if width and height else None

    @property
    def steps(self) -> int | None:
        """The sampler's steps."""
        return _whole(self.value("steps"))

    @property
    def batch_size(self) -> int:
        """How many it makes at once."""
        return _whole(self.value("batch_size")) or 1


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class ResolvedRequest(_Base, _ByRole):
    """A request with every value as it will be used. It never changes, so a retry repeats it.

    ``callback_url`` is always null: the callback is stored beside it, and shown by its host only.
    ``plan`` is stored with it, and not part of the document.
    """

    workflow: str = DEFAULT_WORKFLOW
    inputs: dict[str, Any] = Field(default_factory=dict)
    priority: Priority
    timeout_s: int
    metadata: dict[str, MetadataValue]
    callback_url: None = None
    plan: Plan = Field(default_factory=Plan, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        plan = fields.get("plan")
        if not isinstance(plan, Plan):
            apart = gathered(fields)
            return {**apart, "plan": _plan_without_workflow(apart.get(INPUTS))}
        return {**gathered({k: v for k, v in fields.items() if k != "plan"}), "plan": plan}

    @model_serializer(mode="wrap")
    def _flat(self, handler: Any) -> dict[str, Any]:
        return flat(handler(self))

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Every value of the inputs stands beside the envelope."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        properties = schema.get("properties")
        if isinstance(properties, dict):
            properties.pop("plan", None)
        schema["additionalProperties"] = True
        return schema

    def stored(self) -> dict[str, Any]:
        """Returns the request as it is stored: with its plan, under a name that no input has."""
        plan = self.plan.model_dump(mode="json", exclude_defaults=True)
        return {**self.model_dump(mode="json"), _PLAN: {**plan, _FILES: list(self.plan.files)}}

    def value(self, role: Role) -> Any:
        """Returns the value of the input that has the role, None if there is none."""
        name = self.plan.input_of(role)
        return None if name is None else self.inputs.get(name)

    def without(self, role: Role) -> Self:
        """Returns the request without the input that has the role."""
        name = self.plan.input_of(role)
        left = {key: value for key, value in self.inputs.items() if key != name}
        return self.model_copy(update={INPUTS: left})

    def changed(self, **inputs: Any) -> Self:
        """Returns the request with other values of these inputs."""
        return self.model_copy(update={INPUTS: {**self.inputs, **inputs}})


def files_of(stored: Any) -> tuple[Reference, ...]:
    """Returns the files that a stored request takes. What only looks like one is none: a text."""
    plan = stored.get(_PLAN) if isinstance(stored, dict) else None
    if not isinstance(plan, dict):
        return ()
    if _FILES not in plan:
        return _files_without_plan(stored)
    files = plan[_FILES]
    found = map(Reference.parse, files if isinstance(files, list) else ())
    return tuple(one for one in found if one is not None)


def _files_without_plan(stored: Mapping[str, Any]) -> tuple[Reference, ...]:
    """Returns every reference in the inputs of a request of a version that did not list its files.

    It may be a text that only looks like one: rather a file too many is kept.
    """
    inputs = {k: v for k, v in stored.items() if k == INPUTS or k not in (*ENVELOPE, _PLAN)}
    return tuple(dict.fromkeys(references_in(inputs)))


def _plan_without_workflow(inputs: Any) -> Plan:
    """Returns the plan of a request that was stored without one: by versions with one workflow."""
    known = inputs if isinstance(inputs, Mapping) else {}
    numbers = [_number(known.get(name)) for name in ("steps", "width", "height", "batch_size")]
    return Plan(outputs=_whole(known.get("batch_size")), cost=math.prod(numbers) / 1e6)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


class UnreadableRequest(Unreadable, _ByRole):
    """The request of a generation that another version of Easel stored.

    It is never rendered: it is known in part only. The properties are for display.
    """

    def value(self, role: Role) -> Any:
        """Returns what stands under the role's own name."""
        return self.stored.get(role) if isinstance(self.stored, dict) else None

    @property
    def workflow(self) -> str:
        """The workflow's name, empty if there is none."""
        found = self.stored.get("workflow") if isinstance(self.stored, dict) else None
        return str(found or "")

    @property
    def priority(self) -> Priority:
        """The queue that it waits in."""
        found = self.stored.get("priority") if isinstance(self.stored, dict) else None
        return "bulk" if found == "bulk" else "interactive"


StoredRequest = ResolvedRequest | UnreadableRequest


def read_request(stored: Any) -> StoredRequest:
    """Reads a stored request, which any version may have written."""
    plan = stored.get(_PLAN) if isinstance(stored, dict) else None
    try:
        request = read_stored(ResolvedRequest, stored)
        if plan is not None:
            files = tuple(map(str, files_of(stored)))
            known = read_stored(Plan, plan)
            plan = known if known.files else known.model_copy(update={_FILES: files})
            request = request.model_copy(update={"plan": plan})
    except ValidationError as error:
        return UnreadableRequest(stored=stored, reason=reason_of(error))
    return request
