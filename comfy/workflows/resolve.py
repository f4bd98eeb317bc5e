"""From what was asked to what will be used: every default filled in, every name checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfy.errors import not_allowed
from comfy.workflows.builtin.classes import classes_of, pack_of
from comfy.workflows.builtin.declarations import UPSCALE
from comfy.workflows.builtin.enlarging import resolved_upscale
from comfy.workflows.builtin.resolving import resolved_drawing
from comfy.workflows.costs import cost_of, drawing_cost, upscale_cost
from comfy.workflows.imported import placed
from comfy.workflows.known import Known
from comfy.workflows.live_values import check_values, leaf_values
from comfy.workflows.readiness import Judge, Readiness
from core.fields import draw_seed
from core.problems import FieldProblem
from core.requests import RequestFields, ResolvedRequest
from core.uploads import referred_in
from core.wording import listed
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

    What a built-in workflow's request gets in another way than it asks for are the plan's notices.
    The same values asked for again give the same values, recipe and graph.

    Raises UnresolvableError with the codes ``no_model``, ``unknown_model``, ``unknown_sampler``,
    ``unknown_scheduler``, ``too_many_pixels``, ``missing_nodes`` and ``missing_models``; for a
    built-in workflow also those of ``builtin.resolving`` and ``builtin.enlarging``; for an imported
    one ``paid_nodes``, ``unknown_choice`` and those of ranges.
    """
    if workflow.graph is None:
        values, plan = _built_in(request, workflow, known, suggest=suggest)
    else:
        values = declared_values(workflow, request.inputs)
        plan = _imported_plan(workflow, values, known)
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
    problems = _too_many_pixels(resolved, workflow)
    if workflow.graph is not None and known.judge is not None:
        problems += _live_problems(workflow, values, known.judge, suggest)
    if problems:
        raise UnresolvableError(tuple(problems))
    return resolved


def _built_in(
    request: RequestFields, workflow: Workflow, known: Known, *, suggest: bool
) -> tuple[dict[str, Any], Plan]:
    """Returns the values and the plan of a built-in workflow. Raises UnresolvableError."""
    is_upscale = workflow.name == UPSCALE.name
    found = (resolved_upscale if is_upscale else resolved_drawing)(
        workflow, request.inputs, known, suggest=suggest
    )
    if found.problems:
        raise UnresolvableError(found.problems)
    values, recipe = dict(found.values), found.recipe
    classes = classes_of(workflow.name, values, recipe)
    if known.judge is not None:
        missing = [one for one in classes if known.judge.catalogue.get(one) is None]
        if missing:
            raise UnresolvableError((_missing_classes(missing),))
    # Its inputs are named as their roles, but for lists, which are nowhere asked for by role.
    return values, Plan(
        version=workflow.version,
        outputs=1 if is_upscale else values["batch_size"],
        cost=(upscale_cost if is_upscale else drawing_cost)(values, recipe),
        model=found.model,
        models=dict(found.models),
        classes=classes,
        recipe=recipe.stored(),
        notices=found.notices,
    )


def _missing_classes(missing: Sequence[str]) -> FieldProblem:
    packs = [f"the node pack {pack}" for pack in dict.fromkeys(map(pack_of, missing)) if pack]
    todo = f"install {listed(packs)}" if packs else "update ComfyUI"
    said = f"ComfyUI lacks {listed(missing)}: {todo}"
    return FieldProblem(("workflow",), "missing_nodes", said)


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


def _imported_plan(workflow: Workflow, values: Mapping[str, Any], known: Known) -> Plan:
    main = workflow.of_role("model")
    named = values.get(main.name) if main is not None else None
    models = _listed(_models(workflow, values), known)
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


def _listed(models: dict[str, tuple[str, ...]], known: Known) -> dict[str, tuple[str, ...]]:
    """Returns the files without those that no ComfyUI lists: some nodes fetch theirs themselves."""
    if known.judge is None:
        return models
    offered = known.judge.catalogue.file_choices
    there = {
        folder: tuple(
            name for name in names if name in offered or known.models.find(name, (folder,))
        )
        for folder, names in models.items()
    }
    return {folder: names for folder, names in there.items() if names}


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


def _too_many_pixels(request: ResolvedRequest, workflow: Workflow) -> list[FieldProblem]:
    size = request.size
    if size is None:
        return []
    try:
        check_pixels(*size, request.batch_size)
    except ValueError as exc:
        return [FieldProblem((workflow.roles["width"],), "too_many_pixels", str(exc))]
    return []
