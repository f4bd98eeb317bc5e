"""A workflow proposed from an imported graph: what the author marked, then what the graph says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from comfy.importing.imported import ImportedGraph
from comfy.importing.marks import Place
from comfy.importing.proposal.authored import app_inputs, promoted
from comfy.importing.proposal.candidate import WHOLE, Candidate
from comfy.importing.proposal.fields import declared
from comfy.importing.proposal.models import models
from comfy.importing.proposal.naming import Names, slug
from comfy.importing.proposal.numbers import numbers
from comfy.importing.proposal.outputs import outputs
from comfy.importing.proposal.packs import marked_by_packs
from comfy.importing.proposal.placeholders import filled
from comfy.importing.proposal.requirements import requirements
from comfy.importing.proposal.seeds import seeds
from comfy.importing.proposal.settings import settings
from comfy.importing.proposal.sizes import sizes
from comfy.importing.proposal.texts import texts
from comfy.importing.proposal.titles import titled
from comfy.importing.proposal.uploads import uploads
from comfy.importing.proposal.wiring import Wiring
from comfy.nodes import NodeCatalogue
from core.workflows.declaration import INPUTS_MAX, SHARED_ROLES, Input, Origin, Role, Workflow

_ALWAYS: Final = frozenset({"seed"})
_SIZE: Final[tuple[Role, ...]] = ("width", "height")
_TITLE_MAX: Final = 200
_FIELD_MAX: Final = 200


def propose(imported: ImportedGraph, catalogue: NodeCatalogue, name: str) -> Workflow:
    """The workflow that a user would most likely want of a graph; ``name`` is its own.

    Whatever the graph, a workflow comes out whose inputs point at fields that are there.
    """
    ready = filled(imported.graph, catalogue)
    wiring = Wiring(replace(imported, graph=ready.graph), catalogue)
    chosen = _chosen(wiring, ready.candidates)
    inputs = _named(wiring, [one for one in chosen if _is_addressable(one)][:INPUTS_MAX])
    return Workflow(
        name=name,
        title=(imported.title.strip() or name)[:_TITLE_MAX],
        inputs=inputs,
        outputs=outputs(wiring),
        requires=requirements(wiring),
        origin=Origin(kind=_origin(imported)),
        graph={one: _plain(ready.graph[one]) for one in wiring.nodes},
        ui=_plain(imported.ui) if imported.ui is not None else None,
    )


def guesses(wiring: Wiring) -> list[Candidate]:
    """What the graph alone says, most important first; no field is in two of them."""
    found: list[Candidate] = []
    taken: set[Place] = set()
    ways = (texts, seeds, sizes, uploads, numbers, models, settings)
    for candidate in (one for way in ways for one in way(wiring)):
        free = candidate.without(taken)
        if free.targets:
            found.append(free)
            taken.update(free.targets)
    return found


def _chosen(wiring: Wiring, placeholders: Iterable[Candidate]) -> list[Candidate]:
    """The author's inputs in their order, then what the graph says beside them."""
    guessed = guesses(wiring)
    forms: tuple[tuple[bool, Iterable[Candidate]], ...] = (
        (True, app_inputs(wiring)),
        (False, promoted(wiring)),
        (True, marked_by_packs(wiring)),
        (True, titled(wiring)),
        (False, placeholders),
    )
    chosen, is_form = _authored(forms, guessed)
    chosen = _with_named_size(wiring, chosen)
    taken = {place for one in chosen for place in one.targets}
    roles = {one.role for one in chosen if one.role is not None}
    rest = []
    for guess in guessed:
        left = guess.without(taken)
        if not left.targets or (guess.role in WHOLE and guess.role in roles):
            continue
        hides = is_form or all(wiring.is_inside(one.node_id) for one in left.targets)
        must = guess.role in _ALWAYS
        rest.append(replace(left, advanced=left.advanced or (hides and not must)))
    return _with_roles_once([*chosen, *rest])


def _authored(
    forms: Iterable[tuple[bool, Iterable[Candidate]]], guessed: list[Candidate]
) -> tuple[list[Candidate], bool]:
    """What authors marked, each field once; whether one of the marks is a whole form."""
    by_place = {place: guess for guess in guessed for place in guess.targets}
    chosen: list[Candidate] = []
    taken: set[Place] = set()
    is_form = False
    for is_whole, form in forms:
        for marked in form:
            free = marked.without(taken)
            if not free.targets:
                continue
            is_form = is_form or is_whole
            guess = next((by_place[one] for one in free.targets if one in by_place), None)
            done = free.completed(guess.without(taken)) if guess else free
            if guess and guess.type == "model":
                done = replace(done, advanced=True, group=done.group or guess.group)
            chosen.append(done)
            taken.update(done.targets)
    return chosen, is_form


def _with_named_size(wiring: Wiring, chosen: list[Candidate]) -> list[Candidate]:
    """The first two inputs that the author calls width and height are the size, if none is.

    Two of the same node come before two of different ones: a width alone may be a border's.
    """
    if any(one.role in _SIZE for one in chosen):
        return chosen
    widths, heights = (_called(wiring, chosen, role) for role in _SIZE)
    pairs = [(width, height) for width in widths for height in heights]
    together = (pair for pair in pairs if _shares_node(chosen[pair[0]], chosen[pair[1]]))
    size = next(together, pairs[0] if pairs else ())
    roles = dict(zip(size, _SIZE, strict=False))
    return [replace(one, role=roles.get(at, one.role)) for at, one in enumerate(chosen)]


def _called(wiring: Wiring, chosen: list[Candidate], side: str) -> list[int]:
    """Which inputs without a role hold a size and are called by a side of it."""
    return [
        index
        for index, one in enumerate(chosen)
        if one.role is None
        and slug(one.label or one.name).split("_")[-1] == side
        and all(isinstance(wiring.value(place), int) for place in one.targets)
    ]


def _shares_node(one: Candidate, other: Candidate) -> bool:
    return bool({each.node_id for each in one.targets} & {each.node_id for each in other.targets})


def _with_roles_once(candidates: list[Candidate]) -> list[Candidate]:
    seen: set[Role] = set()
    result = []
    for one in candidates:
        is_second = one.role in seen and one.role not in SHARED_ROLES
        result.append(replace(one, role=None) if is_second else one)
        if one.role is not None:
            seen.add(one.role)
    return result


def _is_addressable(candidate: Candidate) -> bool:
    return all(
        0 < len(one.node_id) <= _FIELD_MAX and 0 < len(one.input) <= _FIELD_MAX
        for one in candidate.targets
    )


def _named(wiring: Wiring, candidates: list[Candidate]) -> tuple[Input, ...]:
    """Inputs with unique names: the author's, then those of roles, then the rest."""
    names = Names()
    given: dict[int, str] = {}
    for index, one in enumerate(candidates):
        if one.is_named:
            given[index] = names.take(one.name)
    for index, one in enumerate(candidates):
        if index not in given and one.role is not None and one.role not in SHARED_ROLES:
            given[index] = names.take(_name_of_role(one))
    for index, one in enumerate(candidates):
        if index not in given:
            given[index] = names.take(one.name or one.targets[0].input, _fallback(one))
    return tuple(declared(wiring, one, given[index]) for index, one in enumerate(candidates))


def _name_of_role(candidate: Candidate) -> str:
    if candidate.role == "prompt" and candidate.name == "tags":
        return "tags"
    if candidate.role in ("init_image", "mask"):
        return candidate.name or candidate.role
    return str(candidate.role)


def _fallback(candidate: Candidate) -> str:
    return str(candidate.role or candidate.type or "input")


def _origin(imported: ImportedGraph) -> Literal["api", "ui", "app"]:
    if imported.marks.app is not None and imported.marks.app.inputs:
        return "app"
    return "ui" if imported.source.form == "ui" else "api"


def _plain(value: Any) -> Any:
    """Mappings and tuples as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
