"""What only a ComfyUI can say of a request's values: its choices, its ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from comfy.nodes import COMBO, Choice, InputSpec, NodeCatalogue
from core.problems import FieldProblem
from core.wording import nearest, written
from core.workflows.declaration import ChoicesFrom, Input, Workflow, leaves

PROBLEMS_MAX: Final = 100
"""The most problems that are told of one request."""
SEARCHES_MAX: Final = 3
"""So many names of one request are compared with all others: that is slow."""
_Loc = tuple[str | int, ...]
_Sources = tuple[ChoicesFrom, ...]


def check_values(
    workflow: Workflow,
    values: Mapping[str, Any],
    catalogue: NodeCatalogue,
    *,
    suggest: bool = True,
) -> list[FieldProblem]:
    """Returns what is wrong with values that fit the declaration; nothing is raised.

    Choices by reference are compared with those that the ComfyUI has now (``unknown_model``,
    ``unknown_choice``), numbers with the ranges of the fields that they go to. Files are never
    compared: an upload is put there before the submit. Classes that are missing are told by
    ``readiness``. Of many problems the first ``PROBLEMS_MAX`` are returned; with ``suggest``, near
    matches are named for the first ``SEARCHES_MAX`` names that there are not.
    """
    check = _Check(workflow, catalogue, SEARCHES_MAX if suggest else 0)
    return list(islice(check.problems(values), PROBLEMS_MAX))


def live_choices(workflow: Workflow, catalogue: NodeCatalogue) -> dict[str, tuple[Choice, ...]]:
    """Returns what the ComfyUI has now for each input whose choices are looked up, by its path.

    An entry of a list has ``*`` in its place. An input whose choices are not known is left out.
    """
    found: dict[str, tuple[Choice, ...]] = {}
    for path, one in leaves(workflow.inputs):
        if not one.sources or one.is_upload:
            continue
        offered = known_choices(one.sources, catalogue)
        if offered is not None:
            found[path] = offered
    return found


def known_choices(
    sources: Iterable[ChoicesFrom], catalogue: NodeCatalogue
) -> tuple[Choice, ...] | None:
    """Returns what all of these places offer together; None where no place is known."""
    specs = [catalogue.input(one.node_class, one.field) for one in sources]
    known = [one for one in specs if one is not None and one.type == COMBO and one.choices_known]
    if not known:
        return None
    return tuple(dict.fromkeys(choice for one in known for choice in one.choices))


def leaf_values(one: Input, value: Any, loc: _Loc = ()) -> Iterator[tuple[_Loc, Input, Any]]:
    """Yields each value inside of an input's, with its place and the input that it is for."""
    if one.fields is not None and isinstance(value, Mapping):
        for field in one.fields:
            if value.get(field.name) is not None:
                yield from leaf_values(field, value[field.name], (*loc, field.name))
    elif one.items is not None and isinstance(value, list):
        for index, entry in enumerate(value):
            yield from leaf_values(one.items, entry, (*loc, index))
    else:
        yield loc, one, value


@dataclass
class _Check:
    """One look at one request's values. ``searches`` are those for near matches that are left."""

    workflow: Workflow
    catalogue: NodeCatalogue
    searches: int
    _known: dict[_Sources, frozenset[Choice] | None] = field(default_factory=dict)
    _near: dict[tuple[str, _Sources], str] = field(default_factory=dict)

    def problems(self, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        for one in self.workflow.inputs:
            if values.get(one.name) is not None:
                for loc, leaf, value in leaf_values(one, values[one.name], (one.name,)):
                    yield from self._of_leaf(leaf, value, loc)

    def _of_leaf(self, one: Input, value: Any, loc: _Loc) -> Iterator[FieldProblem]:
        if one.is_upload:
            return
        if one.sources:
            mapping = self.workflow.mapping
            wanted = mapping.get(value, value) if isinstance(value, str) else value
            yield from self._of_choice(one, wanted, loc)
        elif one.type in ("integer", "number", "seed"):
            graph = self.workflow.graph or {}
            for target in one.targets:
                class_type = graph.get(target.node, {}).get("class_type", "")
                fault = _out_of_range(value, self.catalogue.input(class_type, target.field))
                if fault is not None:
                    yield FieldProblem(loc, *fault)
                    return

    def _of_choice(self, one: Input, value: Any, loc: _Loc) -> Iterator[FieldProblem]:
        choices = self._choices(one.sources)
        if choices is None or value in choices:
            return
        if one.type == "model":
            place = f" in its folder {one.folder}" if one.folder else ""
            what = f"{one.role or 'file'}s".replace("_", " ")
            said = f"ComfyUI has no {written(str(value))}{place}"
            yield FieldProblem(loc, "unknown_model", f"{said}; {self._nearest(value, one, what)}")
        else:
            said = f"{written(str(value))} is not one of the choices"
            near = self._nearest(value, one, "choices")
            yield FieldProblem(loc, "unknown_choice", f"{said}; {near}")

    def _choices(self, sources: _Sources) -> frozenset[Choice] | None:
        """Returns what is offered; None where that is not known, or files can be brought."""
        if sources not in self._known:
            specs = (self.catalogue.input(one.node_class, one.field) for one in sources)
            takes_files = any(spec.upload for spec in specs if spec is not None)
            offered = None if takes_files else known_choices(sources, self.catalogue)
            self._known[sources] = None if offered is None else frozenset(offered)
        return self._known[sources]

    def _nearest(self, value: Any, one: Input, what: str) -> str:
        name, offered = str(value), known_choices(one.sources, self.catalogue) or ()
        if (name, one.sources) in self._near:
            return self._near[name, one.sources]
        if not self.searches:
            return f"there are {len(offered)} {what}"
        self.searches -= 1
        self._near[name, one.sources] = nearest(name, [str(choice) for choice in offered], what)
        return self._near[name, one.sources]


def _out_of_range(value: Any, spec: InputSpec | None) -> tuple[str, str] | None:
    if spec is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if spec.type not in ("INT", "FLOAT"):
        return None
    if spec.minimum is not None and value < spec.minimum:
        return "greater_than_equal", f"must be at least {spec.minimum} in this ComfyUI"
    if spec.maximum is not None and value > spec.maximum:
        return "less_than_equal", f"must be at most {spec.maximum} in this ComfyUI"
    return None
