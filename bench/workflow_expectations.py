"""What a user would expect of an imported workflow, and how far a proposal is from it.

Expectations are written by hand beside a set of workflow files (``expected.json``); comparing is
pure. A place is a node and the field of it that holds a value, as in ComfyUI's API format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from core.workflows.declaration import Input, Output, Role, Target, Workflow, leaves

_ANY: Final = "*"
_TEXTS: Final = frozenset({"text", "longtext"})


@dataclass(frozen=True)
class Place:
    """Where a value lies: one of ``fields`` of a node; ``text``: how it begins, if it matters.

    ``*`` stands for any field, or any node.
    """

    node: str
    fields: tuple[str, ...] = (_ANY,)
    text: str = ""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Read one place of ``expected.json``."""
        return cls(told["node"], tuple(told["fields"]), told.get("text", ""))

    def holds(self, target: Target) -> bool:
        """Whether a target is here."""
        return self.has(target.node, target.field)

    def has(self, node: str, field_name: str) -> bool:
        """Whether a field of a node is here."""
        return self.node in (_ANY, node) and bool({_ANY, field_name} & set(self.fields))

    def __str__(self) -> str:
        return f"{self.node}.{'|'.join(self.fields)}"


@dataclass(frozen=True)
class FilePlace:
    """A place that takes a file, or a node that gives one, of one of ``kinds``."""

    place: Place
    kinds: tuple[str, ...]

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Read one upload or output of ``expected.json``."""
        return cls(Place.from_json(told), tuple(told["kinds"]))

    def is_of(self, kind: str) -> bool:
        """Whether a kind is one of them."""
        return kind in self.kinds or _ANY in self.kinds

    def __str__(self) -> str:
        return f"{self.place} ({'|'.join(self.kinds)})"


@dataclass(frozen=True)
class Problem:
    """What ComfyUI would refuse about a field of a node."""

    node: str
    field: str
    told: str


@dataclass(frozen=True)
class Allowed:
    """Places that may be inputs of these roles, but need not be.

    ``refused`` are fields whose values a ComfyUI older than the file does not know.
    """

    prompts: tuple[Place, ...] = ()
    negatives: tuple[Place, ...] = ()
    seeds: tuple[Place, ...] = ()
    widths: tuple[Place, ...] = ()
    heights: tuple[Place, ...] = ()
    uploads: tuple[FilePlace, ...] = ()
    refused: tuple[Place, ...] = ()

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Read the ``may`` of one expectation."""
        return cls(
            prompts=_places(told, "prompts"),
            negatives=_places(told, "negatives"),
            seeds=_places(told, "seeds"),
            widths=_places(told, "widths"),
            heights=_places(told, "heights"),
            uploads=_files(told, "uploads"),
            refused=_places(told, "refused"),
        )


@dataclass(frozen=True)
class Expectation:
    """What a user would expect of one file.

    ``prompts`` to ``others`` must be inputs; ``outputs`` are exactly the nodes that give
    artefacts, or ``*`` where a file has only viewers; ``primary`` is the one of them that a
    generation is shown by, empty where any will do. ``missing`` and ``paid`` are node classes;
    ``refused`` is the reason for which the file cannot be imported as it is.
    """

    prompts: tuple[Place, ...] = ()
    negatives: tuple[Place, ...] = ()
    texts: tuple[Place, ...] = ()
    seeds: tuple[Place, ...] = ()
    widths: tuple[Place, ...] = ()
    heights: tuple[Place, ...] = ()
    others: tuple[Place, ...] = ()
    uploads: tuple[FilePlace, ...] = ()
    outputs: tuple[FilePlace, ...] = ()
    primary: str = ""
    may: Allowed = field(default_factory=Allowed)
    missing: frozenset[str] = frozenset()
    paid: frozenset[str] = frozenset()
    refused: str = ""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Read one expectation of ``expected.json``."""
        return cls(
            prompts=_places(told, "prompts"),
            negatives=_places(told, "negatives"),
            texts=_places(told, "texts"),
            seeds=_places(told, "seeds"),
            widths=_places(told, "widths"),
            heights=_places(told, "heights"),
            others=_places(told, "others"),
            uploads=_files(told, "uploads"),
            outputs=_files(told, "outputs"),
            primary=told.get("primary", ""),
            may=Allowed.from_json(told.get("may", {})),
            missing=frozenset(told.get("missing", ())),
            paid=frozenset(told.get("paid", ())),
            refused=told.get("refused", ""),
        )


@dataclass(frozen=True)
class Imported:
    """What an import said of one file: the proposal, if there is one, and the names it told.

    ``told`` holds the codes of refusals and notices, ``problems`` what ComfyUI would refuse
    about the graph, files that it names counting as present.
    """

    workflow: Workflow | None
    missing: frozenset[str] = frozenset()
    paid: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    error: str = ""


def differences(expected: Expectation, imported: Imported) -> list[str]:
    """Returns what is not as expected, one sentence each; nothing if all is right."""
    if expected.refused:
        return _of_refusal(expected, imported)
    if imported.workflow is None:
        return [f"not imported: {imported.error or 'no reason'}"]
    found = imported.workflow
    return [
        *_of_texts(found, "prompt", expected.prompts, expected.may.prompts),
        *_of_texts(found, "negative_prompt", expected.negatives, expected.may.negatives),
        *(
            f"no input for the text {one}"
            for one in _uncovered(expected.texts, _text_inputs(found))
        ),
        *_of_seeds(found, expected),
        *_of_size(found, "width", expected.widths, expected.may.widths),
        *_of_size(found, "height", expected.heights, expected.may.heights),
        *(f"no input for {one}" for one in _uncovered(expected.others, _inputs(found))),
        *_of_uploads(found, expected),
        *_of_outputs(found, expected.outputs),
        *_of_primary(found, expected.primary),
        *_of_names("missing class", expected.missing, imported.missing),
        *_of_names("paid class", expected.paid, imported.paid),
        *_of_problems(imported.problems, expected.may.refused),
    ]


def table(rows: Iterable[tuple[str, list[str]]]) -> str:
    """Returns lines of text: each file wholly right or wrong and why, and the sum."""
    listed = list(rows)
    lines = []
    for name, found in listed:
        lines.append(f"{'wrong' if found else 'right'}  {name}")
        lines.extend(f"         {reason}" for reason in found)
    right = sum(not found for _, found in listed)
    return "\n".join([*lines, f"wholly right: {right} of {len(listed)}"])


def _of_refusal(expected: Expectation, imported: Imported) -> list[str]:
    if imported.workflow is None or expected.refused in imported.told:
        return []
    return [f"should be told: {expected.refused}"]


def _of_texts(
    found: Workflow, role: Role, expected: tuple[Place, ...], may: tuple[Place, ...]
) -> Iterator[str]:
    """Each is a text input and begins as it should; the one that has the role is one of them."""
    for place in expected:
        holding = [one for one in _text_inputs(found) if _targets(one, (place,))]
        if not holding:
            yield f"no text input for the {role} {place}"
        elif place.text and not any(_begins(one, place.text) for one in holding):
            yield f"the {role} {place} begins {str(holding[0].default)[:30]!r}"
    of_role = found.of_role(role)
    if of_role is None and expected:
        yield f"no input has the role {role}"
    if of_role is not None:
        yield from _strays(of_role, role, (*expected, *may))


def _of_seeds(found: Workflow, expected: Expectation) -> Iterator[str]:
    inputs = [one for one in _inputs(found) if one.type == "seed" or one.role == "seed"]
    yield from (f"no seed for {place}" for place in _uncovered(expected.seeds, inputs))
    if expected.seeds and found.of_role("seed") is None:
        yield "no input has the role seed"
    for one in inputs:
        yield from _strays(one, "seed", (*expected.seeds, *expected.may.seeds))


def _of_size(
    found: Workflow, role: Role, expected: tuple[Place, ...], may: tuple[Place, ...]
) -> Iterator[str]:
    yield from (
        f"no input for the {role} {place}" for place in _uncovered(expected, _inputs(found))
    )
    of_role = found.of_role(role)
    if of_role is None and expected:
        yield f"no input has the role {role}"
    if of_role is not None:
        yield from _strays(of_role, role, (*expected, *may))


def _of_uploads(found: Workflow, expected: Expectation) -> Iterator[str]:
    inputs = [one for one in _inputs(found) if one.is_upload]
    for upload in expected.uploads:
        holding = [one for one in inputs if _targets(one, (upload.place,))]
        if not holding:
            yield f"no upload for {upload}"
        elif not any(upload.is_of(one.type) for one in holding):
            yield f"the upload {upload} is of type {holding[0].type}"
    known = tuple(one.place for one in (*expected.uploads, *expected.may.uploads))
    for one in inputs:
        yield from _strays(one, "upload", known)


def _of_outputs(found: Workflow, expected: tuple[FilePlace, ...]) -> Iterator[str]:
    any_node = [one for one in expected if one.place.node == _ANY]
    if any_node:
        if not any(any_node[0].is_of(one.kind) for one in found.outputs):
            yield f"no output of kind {'|'.join(any_node[0].kinds)}"
        return
    sure = [one for one in found.outputs if not one.optional]
    for output in expected:
        giving = [one for one in sure if one.node == output.place.node]
        if not giving:
            yield f"no output {output.place.node}"
        elif not any(output.is_of(one.kind) for one in giving):
            yield f"the output {output.place.node} is of kind {giving[0].kind}"
    known = {one.place.node for one in expected}
    yield from (f"the output {_told(one)} is too many" for one in sure if one.node not in known)


def _of_primary(found: Workflow, expected: str) -> Iterator[str]:
    told = [one.node for one in found.outputs if one.primary]
    if expected and expected not in told:
        yield f"the primary output is {', '.join(told) or 'none'}, not {expected}"


def _of_names(what: str, expected: Collection[str], told: Collection[str]) -> Iterator[str]:
    yield from (f"{what} not told: {name}" for name in sorted(set(expected) - set(told)))
    yield from (f"{what} told wrongly: {name}" for name in sorted(set(told) - set(expected)))


def _of_problems(problems: Iterable[Problem], known: tuple[Place, ...]) -> Iterator[str]:
    for one in problems:
        if not any(place.has(one.node, one.field) for place in known):
            yield f"ComfyUI refuses {one.told}"


def _strays(one: Input, what: str, known: tuple[Place, ...]) -> Iterator[str]:
    for target in one.targets:
        if not any(place.holds(target) for place in known):
            yield f"{one.name} ({what}) goes to {target.node}.{target.field}"


def _uncovered(places: Iterable[Place], inputs: Collection[Input]) -> Iterator[Place]:
    return (one for one in places if not any(_targets(found, (one,)) for found in inputs))


def _targets(one: Input, places: tuple[Place, ...]) -> list[Target]:
    return [target for target in one.targets if any(place.holds(target) for place in places)]


def _begins(one: Input, text: str) -> bool:
    return isinstance(one.default, str) and one.default.strip().startswith(text)


def _inputs(found: Workflow) -> list[Input]:
    return [one for _, one in leaves(found.inputs)]


def _text_inputs(found: Workflow) -> list[Input]:
    return [one for one in _inputs(found) if one.type in _TEXTS]


def _told(one: Output) -> str:
    return f"{one.node} ({one.kind})"


def _places(told: Mapping[str, Any], key: str) -> tuple[Place, ...]:
    return tuple(Place.from_json(one) for one in told.get(key, ()))


def _files(told: Mapping[str, Any], key: str) -> tuple[FilePlace, ...]:
    return tuple(FilePlace.from_json(one) for one in told.get(key, ()))
