"""From what was asked to what will be used: every default filled in, every name checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from comfy.catalogue import Catalogue
from comfy.errors import not_allowed
from comfy.workflows import txt2img
from comfy.workflows.costs import cost_of
from comfy.workflows.imported import placed
from comfy.workflows.known import Known
from comfy.workflows.live_values import check_values, leaf_values
from comfy.workflows.readiness import Judge, Readiness
from core.fields import draw_seed
from core.problems import FieldProblem
from core.requests import RequestFields, ResolvedRequest
from core.uploads import referred_in
from core.wording import listed, nearest
from core.workflows.declaration import Input, Workflow, leaves
from core.workflows.limits import check_pixels
from core.workflows.plan import Plan


class UnresolvableError(ValueError):
    """The request cannot be carried out by this ComfyUI; ``problems`` says why, field by field."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(problem.message for problem in self.problems)


def resolve(
    request: RequestFields,
    workflow: Workflow,
    known: Known,
    *,
    suggest: bool = True,
) -> ResolvedRequest:
    """Fill in every value the request leaves open and draw its seeds.

    Its inputs are checked against the workflow already. Without a catalogue (ComfyUI was never
    reached) names are not checked here; ComfyUI validates them. ``suggest``: an unknown name's
    problem lists near matches, which takes milliseconds where there are hundreds of names.

    Raises UnresolvableError with the codes ``no_model``, ``unknown_model``,
    ``unknown_sampler``, ``unknown_scheduler`` and ``too_many_pixels``; for an imported workflow
    also ``missing_nodes``, ``paid_nodes``, ``missing_models``, ``unknown_choice`` and those of
    ranges.
    """
    if workflow.graph is None:
        values = txt2img.resolved(request.inputs, known.catalogue, known.default_model)
        plan = _built_in_plan(workflow, values)
    else:
        values = declared_values(workflow, request.inputs)
        plan = _imported_plan(workflow, values)
    files = dict.fromkeys(str(one.reference) for one in referred_in(workflow.inputs, values))
    if files:
        plan = plan.model_copy(update={"files": tuple(files)})
    resolved = ResolvedRequest(
        workflow=workflow.name,
        inputs=values,
        priority=request.priority,
        timeout_s=request.timeout_s,
        metadata=request.metadata,
        plan=plan,
    )
    problems = _problems(resolved, workflow, known.catalogue, suggest)
    if workflow.graph is not None and known.judge is not None:
        problems += _live_problems(workflow, values, known.judge, suggest)
    if problems:
        raise UnresolvableError(tuple(problems))
    return resolved


def declared_values(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns every input's value: the one given, else the declared default, else a drawn seed.

    An input that is left out and has no default stays out: the graph has its own value.
    """
    values = {one.name: _value(one, given.get(one.name)) for one in workflow.inputs}
    return {name: value for name, value in values.items() if value is not None}


def _value(one: Input, given: Any) -> Any:
    if given is not None:
        return given
    if one.type == "seed":
        return draw_seed() % (1 + one.seed_max)
    return one.default


def _built_in_plan(workflow: Workflow, values: Mapping[str, Any]) -> Plan:
    model = values["model"]
    return Plan.of(
        workflow,
        outputs=values["batch_size"],
        cost=cost_of(workflow, values),
        model=model,
        models={"checkpoints": (model,)} if model else {},
        classes=txt2img.node_classes(),
    )


def _imported_plan(workflow: Workflow, values: Mapping[str, Any]) -> Plan:
    main = workflow.of_role("model")
    named = values.get(main.name) if main is not None else None
    models = _models(workflow, values)
    first = next(iter(models.values()), (None,))[0]
    return Plan.of(
        workflow,
        cost=cost_of(workflow, values),
        model=named or first,
        models=models,
        classes=workflow.requires.classes,
    )


def _models(workflow: Workflow, values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Returns the model files that will be loaded, by folder: those chosen, and the graph's others.

    What the graph names where a value is put is not loaded.
    """
    given = [(one, values[one.name]) for one in workflow.inputs if one.name in values]
    taken = {(each.node, each.field) for one, value in given for each, _ in placed(one, value)}
    places = workflow.model_places
    left = (
        one for one in workflow.requires.models if not places[one.name] or places[one.name] - taken
    )
    chosen = (
        (leaf.folder or "", name)
        for one, value in given
        for _, leaf, name in leaf_values(one, value)
        if leaf.type == "model" and isinstance(name, str) and name
    )
    models: dict[str, dict[str, None]] = {}
    for folder, name in (*chosen, *((one.folder, one.name) for one in left)):
        models.setdefault(folder, {})[workflow.mapping.get(name, name)] = None
    return {folder: tuple(names) for folder, names in models.items()}


def _problems(
    request: ResolvedRequest, workflow: Workflow, catalogue: Catalogue | None, suggest: bool
) -> list[FieldProblem]:
    problems = [*_too_many_pixels(request, workflow)]
    if workflow.graph is None:
        if not request.model:
            return [_no_model(catalogue)]
        problems = [*_unknown_names(request, catalogue, suggest), *problems]
    return problems


def _live_problems(
    workflow: Workflow, values: Mapping[str, Any], judge: Judge, suggest: bool
) -> list[FieldProblem]:
    """What the ComfyUIs lack for it, or would refuse of its values."""
    found = judge.readiness(workflow)
    if found.missing_classes:
        said = f"ComfyUI lacks {listed(found.names)}: {_install(found)}"
        return [FieldProblem(("workflow",), "missing_nodes", said)]
    if found.refused:
        return [FieldProblem(("workflow",), "paid_nodes", not_allowed(found.refused))]
    problems = check_values(workflow, values, judge.catalogue, suggest=suggest)
    asked = {
        (target.node, target.field) for _, one in leaves(workflow.inputs) for target in one.targets
    }
    absent = [
        one
        for one in found.missing_models
        if any((place.node_id, place.input) not in asked for place in one.places)
    ]
    if absent:
        names = [f"{one.folder}/{one.name}" if one.folder else one.name for one in absent]
        said = f"ComfyUI lacks the model files {listed(names)}; put them into its folder models"
        problems.append(FieldProblem(("workflow",), "missing_models", said))
    return problems


def _install(found: Readiness) -> str:
    packs = tuple(dict.fromkeys(one.pack for one in found.missing_classes if one.pack))
    if packs == ("comfy-core",):
        return "update ComfyUI"
    return f"install {listed(packs)}" if packs else "install the nodes that bring it"


def _no_model(catalogue: Catalogue | None) -> FieldProblem:
    said = (
        "name a model: ComfyUI has not been reached yet"
        if catalogue is None
        else "ComfyUI has no checkpoint: put one (.safetensors) into its folder models/checkpoints"
    )
    return FieldProblem(("model",), "no_model", said)


def _unknown_names(
    request: ResolvedRequest, catalogue: Catalogue | None, suggest: bool
) -> list[FieldProblem]:
    if catalogue is None:
        return []
    checks = (
        ("model", request.model, catalogue.checkpoints),
        ("sampler", request.sampler, catalogue.samplers),
        ("scheduler", request.scheduler, catalogue.schedulers),
    )
    return [
        FieldProblem((field,), f"unknown_{field}", _unknown(field, name, names, suggest))
        for field, name, names in checks
        if name not in names
    ]


def _unknown(field: str, name: str, names: Sequence[str], suggest: bool) -> str:
    if not suggest:
        return f"ComfyUI has no such {field}"
    return f"ComfyUI has no such {field}; {_near(name, tuple(names), f'{field}s')}"


@lru_cache(maxsize=128)
def _near(name: str, names: tuple[str, ...], what: str) -> str:
    """Returns the names nearest to it. Kept: a misspelt one is likely to be in every row."""
    return nearest(name, names, what)


def _too_many_pixels(request: ResolvedRequest, workflow: Workflow) -> list[FieldProblem]:
    if request.size is None:
        return []
    try:
        check_pixels(*request.size, request.batch_size)
    except ValueError as exc:
        return [FieldProblem((workflow.roles["width"],), "too_many_pixels", str(exc))]
    return []
