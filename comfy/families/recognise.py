"""Which family a model file is, by all that is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from comfy.families.header import Header
from comfy.families.headers import of_header
from comfy.families.metadata import Told, told_by
from comfy.families.models import DIFFUSION_FOLDERS, ModelFile, Reason, Setting, Trait
from comfy.families.names import CONTROL_FOLDERS, LORA_FOLDER, finer, name_traits, named
from comfy.families.table import FAMILIES, base_of, refined
from comfy.families.tensors import lacks_encoder, lacks_vae
from comfy.families.trigger_words import trigger_words
from comfy.families.verdict import Kind, Verdict

_CHECKPOINTS: Final = DIFFUSION_FOLDERS[0]
_EXPECTED: Final[Mapping[str, tuple[Kind, ...]]] = {
    **dict.fromkeys(DIFFUSION_FOLDERS, ("model",)),
    LORA_FOLDER: ("lora",),
    **dict.fromkeys(CONTROL_FOLDERS, ("controlnet", "model_patch")),
}
"""What the files of a folder are used as."""
_WORDS: Final[Mapping[Kind, str]] = {
    "model": "a model", "lora": "a LoRA", "controlnet": "a ControlNet",
    "model_patch": "a model patch",
}  # fmt: skip


@dataclass(frozen=True)
class _Known:
    """``family`` as the folder has it: a row's name for models, else a base."""

    family: str | None
    reason: Reason
    detail: str
    traits: frozenset[Trait] = frozenset()


def recognise(
    folder: str,
    name: str,
    header: Header | None = None,
    metadata: Mapping[str, str] | None = None,
    setting: Setting | None = None,
) -> ModelFile:
    """Returns what is known of a file of one of ComfyUI's model folders; never raises.

    The owner's word counts first, then what the file's tensors say, what its maker wrote into it,
    and its name. Where tensors cannot tell families apart, the maker's word and the name do.
    ``metadata`` is for files whose header cannot be read: the header has it otherwise.
    """
    written = (header.metadata if header is not None else metadata) or {}
    if folder not in _EXPECTED:
        return with_setting(ModelFile(folder, name), setting)
    told = told_by(written)
    known = (
        _by_header(folder, name, header, told)
        or _by_metadata(folder, name, told)
        or _by_name(folder, name, told, has_header=header is not None)
    )
    found = ModelFile(
        folder,
        name,
        known.family,
        known.reason,
        known.detail,
        known.traits,
        trigger_words(written) if folder == LORA_FOLDER else (),
    )
    return with_setting(found, setting)


def _by_header(folder: str, name: str, header: Header | None, told: Told) -> _Known | None:
    verdict = of_header(header) if header is not None else None
    if header is None or verdict is None or verdict.kind == "unknown":
        return None
    if verdict.kind not in _EXPECTED[folder]:
        what = verdict.detail if verdict.family is None else _misplaced(verdict)
        return _Known(None, "header", what)
    traits = verdict.traits | told.traits | name_traits(folder, name)
    if folder == _CHECKPOINTS:
        traits |= _bareness(header)
    if verdict.family is None:
        return _Known(None, "header", verdict.detail, traits)
    if folder not in DIFFUSION_FOLDERS:
        base, detail = _of_others(verdict, told)
        return _Known(base, "header", detail, traits)
    family, detail = _refined(verdict.family, verdict.detail, name, told)
    return _Known(family, "header", detail, traits)


def _misplaced(verdict: Verdict) -> str:
    return f"{_WORDS.get(verdict.kind, verdict.kind)}, by {verdict.detail}"


def _bareness(header: Header) -> frozenset[Trait]:
    found: set[Trait] = set()
    if lacks_encoder(header):
        found.add("without_encoder")
    if lacks_vae(header):
        found.add("without_vae")
    return frozenset(found)


def _of_others(verdict: Verdict, told: Told) -> tuple[str | None, str]:
    """Returns the base of a LoRA whose layers several have, as its maker says."""
    base = base_of(told.family or "")
    if base in verdict.others:
        return base, f"{verdict.detail}; {told.detail}"
    return verdict.family, verdict.detail


def _refined(family: str, detail: str, name: str, told: Told) -> tuple[str, str]:
    """Returns the finer family that the maker's word or the name says, and how it is known."""
    by_maker = refined(family, told.family)
    by_name, words = finer(family, name)
    if by_maker != family:
        detail = f"{detail}; {told.detail}"
        if not by_name.startswith(by_maker):  # trainers do not tell the editions of one apart
            return by_maker, detail
    if by_name not in {family, by_maker}:
        return by_name, f"{detail}; {words} in its name"
    return by_maker, detail


def _by_metadata(folder: str, name: str, told: Told) -> _Known | None:
    if not told.detail:
        return None
    traits = told.traits | name_traits(folder, name)
    if told.family is None or folder not in DIFFUSION_FOLDERS:
        base = base_of(told.family or "")
        return _Known(base, "metadata", told.detail, traits)
    family, detail = _refined(told.family, told.detail, name, told)
    return _Known(family, "metadata", detail, traits)


def _by_name(folder: str, name: str, told: Told, *, has_header: bool) -> _Known:
    found = named(folder, name)
    if found.is_guess and has_header:
        # The header of what is guessed would have been known.
        return _Known(None, "unknown", "its header fits no known family", told.traits)
    reason: Reason = "name" if found.family is not None or found.detail else "unknown"
    return _Known(found.family, reason, found.detail, found.traits | told.traits)


def with_setting(found: ModelFile, setting: Setting | None) -> ModelFile:
    """Returns what is known of a file, with what the owner says of it first."""
    if setting is None:
        return found
    found = replace(found, text_encoders=setting.text_encoders, vae=setting.vae)
    if setting.family is None:
        return found
    is_model = found.folder in DIFFUSION_FOLDERS
    family = setting.family if is_model else base_of(setting.family)
    if family is None or (is_model and family not in FAMILIES):
        said = f"the setting's {setting.family[:60]!r} is no family"
        return replace(found, detail=f"{said}; {found.detail}" if found.detail else said)
    return replace(found, family=family, reason="setting", detail="the settings")
