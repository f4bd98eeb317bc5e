"""The text encoders and the VAE beside a model: those that are named, else those that fit it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, get_args

from comfy.catalogue import Catalogue
from comfy.families.family import Encoder, Family, Vae
from comfy.families.models import ModelFile
from comfy.families.parts import find_encoder, find_vae, missing_part
from core.problems import FieldProblem

PIXEL_SPACE: Final = "pixel_space"
"""What stands for a VAE where a family works on pixels; ComfyUI brings it along, as no file."""
_ALIKE: Final = frozenset({"qwen_image", "wan_2.1"})
"""VAEs of one architecture."""
_SOME: Final = frozenset({"sd3", "sd35-large", "sd35-medium", "hidream"})
"""Bases that work with some of their text encoders, too."""


@dataclass(frozen=True)
class Beside:
    """The files that are loaded beside a model; None where the model's own are used."""

    text_encoders: tuple[str, ...] | None = None
    vae: str | None = None
    problems: tuple[FieldProblem, ...] = ()


def beside(
    given: Mapping[str, Any], file: ModelFile, family: Family, catalogue: Catalogue | None
) -> Beside:
    """Returns the files beside a model: those of the request, of the owner, or by their names.

    Problems have the codes ``missing_models``, which names a usual file and its folder, and
    ``excluded`` for files that are none of the family's.
    """
    encoders = given.get("text_encoders") or file.text_encoders or None
    vae = given.get("vae") or file.vae or None
    problems: list[FieldProblem] = []
    # The owner knows better; and a result tells these files, so that it can be asked for again.
    if tuple(encoders or ()) != (file.text_encoders or ()):
        problems += _unfitting_encoders(given.get("text_encoders") or (), family)
    if vae != file.vae:
        problems += _unfitting_vae(given.get("vae"), family)
    if problems:
        return Beside(problems=tuple(problems))
    bare = file.folder != "checkpoints"
    if encoders is None and (bare or "without_encoder" in file.traits):
        found = _encoders(file, family, catalogue)
        problems += (one for one in found if isinstance(one, FieldProblem))
        encoders = tuple(one for one in found if isinstance(one, str))
    if vae is None and (bare or "without_vae" in file.traits):
        part = _vae(file, family, catalogue)
        if isinstance(part, FieldProblem):
            problems.append(part)
        else:
            vae = part
    return Beside(tuple(encoders) if encoders else None, vae, tuple(problems))


def _encoders(
    file: ModelFile, family: Family, catalogue: Catalogue | None
) -> list[str | FieldProblem]:
    if family.parts is None:
        said = (
            f"{file.name} has no text encoder inside: put one into models/text_encoders in "
            "ComfyUI's folder, and name it in `text_encoders`"
        )
        return [FieldProblem(("text_encoders",), "missing_models", said)]
    names = catalogue.text_encoders if catalogue is not None else ()
    found: list[str | FieldProblem] = []
    for kind in family.parts.encoders:
        name = find_encoder(kind, names)
        found.append(name or _missing(kind, "text_encoders", file, family, catalogue))
    return found


def _vae(file: ModelFile, family: Family, catalogue: Catalogue | None) -> str | FieldProblem:
    if family.parts is None:
        said = (
            f"{file.name} has no VAE inside: put one into models/vae in ComfyUI's folder, and "
            "name it in `vae`"
        )
        return FieldProblem(("vae",), "missing_models", said)
    kind = family.parts.vae
    if kind == PIXEL_SPACE:
        return PIXEL_SPACE
    names = catalogue.vaes if catalogue is not None else ()
    return find_vae(kind, names) or _missing(kind, "vae", file, family, catalogue)


def _missing(
    kind: Encoder | Vae, at: str, file: ModelFile, family: Family, catalogue: Catalogue | None
) -> FieldProblem:
    said = f"{file.name} is {family.title}, which needs {missing_part(kind)}"
    if catalogue is None:
        said = f"{said}; ComfyUI has not been reached yet: name the file in `{at}`"
    else:
        said = f"{said}: put it there, or name another file in `{at}`"
    return FieldProblem((at,), "missing_models", said)


# --- files that do not go with the family


def _unfitting_encoders(names: Iterable[str], family: Family) -> Iterator[FieldProblem]:
    many = len(tuple(names))
    if not many:
        return
    if family.parts is None:
        said = f"{family.title} has its text encoder in the checkpoint: leave `text_encoders` out"
        yield FieldProblem(("text_encoders",), "excluded", said)
        return
    wanted = len(family.parts.encoders)
    if many > wanted or (many < wanted and family.base not in _SOME):
        kinds = ", ".join(family.parts.encoders)
        said = f"{family.title} takes {wanted} text encoders ({kinds}), not {many}"
        yield FieldProblem(("text_encoders",), "excluded", said.replace(" 1 text encoders", " one"))


def _unfitting_vae(name: str | None, family: Family) -> Iterator[FieldProblem]:
    if name is None or family.parts is None:
        return
    own = family.parts.vae
    if own == PIXEL_SPACE:
        if name != PIXEL_SPACE:
            said = f"{family.title} works on pixels and has no VAE: leave `vae` out"
            yield FieldProblem(("vae",), "excluded", said)
        return
    kinds = vae_kinds(name)
    if kinds and own not in kinds and not (own in _ALIKE and kinds & _ALIKE):
        said = (
            f"by its name it is not the VAE of {family.title}: leave `vae` out, or name another one"
        )
        yield FieldProblem(("vae",), "excluded", said)


@lru_cache(maxsize=512)
def vae_kinds(name: str) -> frozenset[str]:
    """Returns which VAEs a file is by its name; none where the name tells none."""
    kinds: tuple[Vae, ...] = get_args(Vae)
    return frozenset(kind for kind in kinds if find_vae(kind, (name,)) is not None)
