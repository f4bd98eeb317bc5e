"""The node classes an emulator knows: those of a recorded version, with its own files in them."""

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from .folders import Folders
from .model_files import ModelFiles
from .models import choices, file_choices, folder_of, takes_upload
from .options import EmulatorOptions
from .recorded import recorded
from .release import Release
from .tips import TIPPED, with_tips

Inputs = dict[str, list[Any]]
NEWER: dict[str, Any] = {"search_aliases": []}
NEWER_V3 = {"price_badge": None}
"""What later releases say of each class, and of those in the newer style, too; left unrecorded."""
UPLOADS = {"image": ("image",), "video": ("video",), "audio": ("audio", "video")}
"""Which types of files of the input folder are offered for an upload of a kind."""


@dataclass(frozen=True)
class NodeClass:
    """One node class, as /object_info describes it and validation uses it."""

    name: str
    info: dict[str, Any]
    any_model: bool = False
    """Whether any name of a model file is taken."""
    checks_combos: bool = True
    """Whether choices written in the newer style are compared, too."""

    @property
    def inputs(self) -> dict[str, Inputs]:
        """The inputs as declared, by group: `required`, and maybe `optional` and `hidden`."""
        groups: dict[str, Inputs] = self.info["input"]
        return groups

    @property
    def is_v3(self) -> bool:
        """Whether it is written in ComfyUI's newer style, and says so by some more keys."""
        return "api_node" in self.info

    @property
    def is_paid(self) -> bool:
        """Whether it calls a paid service, which takes a key with the prompt."""
        return self.info.get("api_node") is True

    @property
    def output(self) -> Sequence[str]:
        """The types of its outputs: a tuple or, in the newer style, a list."""
        types: list[str] = self.info["output"]
        return types if self.is_v3 else tuple(types)

    @property
    def output_names(self) -> list[str]:
        """The names of its outputs."""
        names: list[str] = self.info["output_name"]
        return names

    @property
    def output_node(self) -> bool:
        """Whether it makes a prompt do something."""
        return bool(self.info["output_node"])

    def takes_any(self, name: str, config: list[Any]) -> bool:
        """Whether a choice is not compared with those that are offered."""
        if takes_upload(config) is not None or self.name == "CustomCombo":
            return True
        if config[0] == "COMBO" and not self.checks_combos:
            return True
        return self.any_model and folder_of(self.name, name, config) is not None


class Catalogue:
    """The node classes of one emulator, with its model files and uploads as choices."""

    def __init__(self, options: EmulatorOptions, folders: Folders) -> None:
        self._options = options
        self._folders = folders
        self.model_files = ModelFiles(options, folders)
        self._release = Release.of(options.comfyui_version)
        self._recorded = recorded(self._release)

    def classes(self) -> Mapping[str, NodeClass]:
        """All classes by name; made new on each call, so that uploaded files show at once."""
        return _Classes(self)

    def names(self) -> Iterator[str]:
        """The names of all classes, in ComfyUI's order."""
        return iter(self._recorded)

    def __contains__(self, name: object) -> bool:
        return name in self._recorded

    def __len__(self) -> int:
        return len(self._recorded)

    def node_class(self, name: str) -> NodeClass:
        """One class, with the files of now. Raises KeyError for an unknown one."""
        entry = self._recorded[name]
        live = _live_inputs(self._release, name)
        if live or name in TIPPED:
            entry = {**entry, "input": self._with_files(name, entry["input"], live)}
        checks_combos = self._release.checks_combos
        return NodeClass(name, entry, self._options.any_model, checks_combos)

    def object_info(self) -> dict[str, Any]:
        """The body of GET /object_info."""
        return {name: self._said(node) for name, node in self.classes().items()}

    def object_info_of(self, name: str) -> dict[str, Any]:
        """The body of GET /object_info/{name}: nothing of an unknown one."""
        return {name: self._said(self.node_class(name))} if name in self else {}

    def models(self, folder: str) -> list[str] | None:
        """The files of a model folder, None if there is no such folder."""
        return self.model_files.names(folder)

    def _said(self, node: NodeClass) -> dict[str, Any]:
        """A class as /object_info tells of it: with what was not recorded left empty."""
        said = {**node.info, "description": ""}
        if "is_input_list" in said:
            said |= NEWER | (NEWER_V3 if node.is_v3 else {})
        return said

    def _with_files(
        self, name: str, groups: dict[str, Inputs], live: frozenset[tuple[str, str]]
    ) -> dict[str, Inputs]:
        found = {group: dict(members) for group, members in groups.items()}
        for group, field in live:
            config = found[group][field]
            choosing = _with_choices(config, self._files(name, field, config))
            if self._options.any_model and folder_of(name, field, config) is not None:
                choosing = _from_elsewhere(choosing)
            found[group][field] = choosing
        if name in TIPPED:
            found["required"] = with_tips(found["required"])
        return found

    def _files(self, name: str, field: str, config: list[Any]) -> list[str]:
        no_files = choices(config) or []
        folder = folder_of(name, field, config)
        if folder is not None:
            return [*(self.models(folder) or ()), *no_files]
        kinds = UPLOADS.get(takes_upload(config) or "", ())
        return [*no_files, *(file for file in self._uploads() if _kind(file) in kinds)]

    def _uploads(self) -> list[str]:
        return sorted(path.name for path in self._folders.input.iterdir() if path.is_file())


class _Classes(Mapping[str, NodeClass]):
    """The classes of a catalogue at one moment, each looked at when it is asked for."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._seen: dict[str, NodeClass] = {}

    def __getitem__(self, name: str) -> NodeClass:
        if name not in self._seen:
            self._seen[name] = self._catalogue.node_class(name)
        return self._seen[name]

    def __contains__(self, name: object) -> bool:
        return name in self._catalogue

    def __iter__(self) -> Iterator[str]:
        return self._catalogue.names()

    def __len__(self) -> int:
        return len(self._catalogue)


@cache
def _live_inputs(release: Release, name: str) -> frozenset[tuple[str, str]]:
    """(group, input) of those inputs that choose from files."""
    groups = recorded(release)[name]["input"]
    return frozenset(
        (group, field)
        for group in ("required", "optional")
        for field, config in (groups.get(group) or {}).items()
        if file_choices(name, field, config) is not None
    )


def _with_choices(config: list[Any], names: list[str]) -> list[Any]:
    if isinstance(config[0], list):
        return [names, *config[1:]]
    return [config[0], {**config[1], "options": names}]


def _from_elsewhere(config: list[Any]) -> list[Any]:
    """The choices are not all there are, as of a field that asks another server for them."""
    options = config[1] if len(config) > 1 else {}
    return [config[0], {**options, "remote": {}}]


def _kind(file: str) -> str:
    return (mimetypes.guess_type(file)[0] or "").split("/")[0]
