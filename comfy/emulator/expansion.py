"""The inputs that a node has with the values it was given: some declare others.

A dynamic combo brings the inputs of the option that is chosen, an autogrow as many as it may grow
to; both are named `parent.child`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
Config = list[Any]


@dataclass(frozen=True)
class Field:
    """One input: its full name, whether it must be there, and its declaration."""

    name: str
    required: bool
    config: Config

    @property
    def options(self) -> dict[str, Any]:
        """The declared options, empty if there are none."""
        return self.config[1] if len(self.config) > 1 else {}

    @property
    def is_lazy(self) -> bool:
        """Whether its source runs only when it is asked for."""
        return bool(self.options.get("lazy"))


def fields(groups: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> list[Field]:
    """The inputs of a class (`groups` as /object_info has them) with these values."""
    return list(_fields(groups, given, prefix))


def _fields(groups: Mapping[str, Any], given: Mapping[str, Any], prefix: str) -> Iterator[Field]:
    for group in ("required", "optional"):
        for short, config in (groups.get(group) or {}).items():
            yield from _expanded(Field(f"{prefix}{short}", group == "required", config), given)


def _expanded(field: Field, given: Mapping[str, Any]) -> Iterator[Field]:
    if field.config[0] == DYNAMIC:
        yield from _chosen(field, given)
    elif field.config[0] == AUTOGROW:
        yield from _grown(field, given)
    else:
        yield field


def _chosen(field: Field, given: Mapping[str, Any]) -> Iterator[Field]:
    """A dynamic combo and what its option brings; nothing at all if the choice is unknown, as in
    ComfyUI, where the node then fails when it runs."""
    chosen = given.get(field.name)
    for option in field.options["options"]:
        if option["key"] == chosen:
            yield from _fields(option["inputs"], given, f"{field.name}.")
            yield field
            return


def _grown(field: Field, given: Mapping[str, Any]) -> Iterator[Field]:
    template = field.options["template"]
    least = template["min"]
    names = template.get("names")
    if names is None:
        names = [f"{template['prefix']}{number}" for number in range(template["max"])]
    for group, members in template["input"].items():
        for config in list(members.values())[:1]:
            required = group == "required"
            for number, short in enumerate(names):
                name = f"{field.name}.{short}"
                must = required and number < least
                if must or name in given:
                    yield from _expanded(Field(name, must, config), given)
            return
