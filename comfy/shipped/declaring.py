"""From the import's proposal for a template to the declaration that is shipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from comfy.errors import DeclarationError
from comfy.importing.documents import Found
from comfy.importing.proposal import with_input
from comfy.nodes import NodeCatalogue
from comfy.shipped.values import Shipped, Shown
from core.wording import listed, nearest, written
from core.workflows.declaration import Input, Output, Workflow

_ON: Final = 0
_MUTED: Final = 2
_MODELS: Final = {
    "unet_name": ("model", "Diffusion model"),
    "ckpt_name": ("model", "Checkpoint"),
    "model": ("model", "Model"),
    "clip": ("text_encoder", "Text encoder"),
    "clip_name": ("text_encoder", "Text encoder"),
    "sa_clip": ("text_encoder", "Text encoder"),
    "qwen_clip": ("language_model", "Language model"),
    "vae": ("vae", "VAE"),
    "vae_name": ("vae", "VAE"),
    "audio_vae": ("audio_vae", "Audio VAE"),
    "lora": ("lora", "LoRA"),
    "lora_name": ("lora", "LoRA"),
    "bg_removal_name": ("model", "Model"),
}
"""Names and labels of inputs that are model files, for those that the proposal names otherwise."""
_SPELT: Final = {"lora": "LoRA", "vae": "VAE"}


def switched(found: Found, entry: Shipped) -> Found:
    """Returns a template with the nodes on and off that the entry wants so.

    Raises DeclarationError for a node that is not there.
    """
    modes = dict.fromkeys(entry.switched_on, _ON) | dict.fromkeys(entry.switched_off, _MUTED)
    if not modes:
        return found
    nodes = list((found.ui or {}).get("nodes") or ())
    known = [str(node.get("id")) for node in nodes]
    for node_id in modes:
        if node_id not in known:
            raise _other_template(entry, "unknown_node", f"has no node {node_id}")
    wanted = [{**one, "mode": modes.get(str(one.get("id")), one.get("mode"))} for one in nodes]
    return replace(found, ui={**(found.ui or {}), "nodes": wanted})


def declared(
    proposed: Workflow, catalogue: NodeCatalogue, entry: Shipped, *, lacks_classes: bool = False
) -> tuple[Workflow, tuple[str, ...]]:
    """Returns the proposal as the entry declares it, and what is to be told of it.

    What is not there is an error, unless ComfyUI ``lacks_classes``: then the fields of those
    classes are not known, and the inputs are told. Raises DeclarationError.
    """
    if not lacks_classes:
        _check_outputs(proposed, entry)
    inputs, absent = [], []
    for one in entry.inputs:
        try:
            inputs.append(_input(proposed, catalogue, entry, one))
        except DeclarationError:
            if not lacks_classes:
                raise
            absent.append(one.name)
    inputs += _models(proposed, inputs)
    told = {name: getattr(proposed, name) for name in type(proposed).model_fields}
    changes = {
        "title": entry.title,
        "description": entry.description,
        "inputs": tuple(inputs),
        "outputs": tuple(_outputs(proposed, entry)),
    }
    return Workflow(**{**told, **changes}), tuple(_told(absent))


def _input(proposed: Workflow, catalogue: NodeCatalogue, entry: Shipped, one: Shown) -> Input:
    if one.is_address:
        try:
            found = with_input(proposed, catalogue, one.of, one.name).by_name[one.name]
        except DeclarationError as error:
            raise _other_template(entry, error.code, f"does not fit: {error.message}") from error
    elif one.of in proposed.by_name:
        found = proposed.by_name[one.of]
    else:
        near = nearest(one.of, list(proposed.by_name), "inputs")
        raise _other_template(entry, "unknown_input", f"has no input {written(one.of)}; {near}")
    told: dict[str, Any] = {name: getattr(found, name) for name in type(found).model_fields}
    return Input(**{**told, "label": _label(one.name), **one.changes, "name": one.name})


def _models(proposed: Workflow, before: list[Input]) -> Iterator[Input]:
    """Yields what chooses a model file, under names that tell what it is."""
    taken = {one.name for one in before}
    for one in proposed.inputs:
        if one.type != "model":
            continue
        name, label = _MODELS.get(one.name, (one.name, _label(one.name)))
        if name in taken:
            name, label = one.name, _label(one.name)
        taken.add(name)
        yield one.model_copy(update={"name": name, "label": label, "advanced": True})


def _check_outputs(proposed: Workflow, entry: Shipped) -> None:
    for name in entry.outputs:
        if name not in [one.name for one in proposed.outputs]:
            raise _other_template(entry, "unknown_output", f"has no output {written(name)}")
    if proposed.kind != entry.kind:
        raise _other_template(entry, "unknown_output", f"gives no {entry.kind}")


def _outputs(proposed: Workflow, entry: Shipped) -> Iterator[Output]:
    for one in proposed.outputs:
        yield one.model_copy(update={"name": entry.outputs.get(one.name, one.name)})


def _label(name: str) -> str:
    words = [_SPELT.get(word, word) for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def _told(absent: list[str]) -> Iterator[str]:
    if absent:
        yield (
            f"inputs of node classes that ComfyUI lacks are left out: {listed(absent)}; "
            "update ComfyUI, then add the workflow again"
        )


def _other_template(entry: Shipped, code: str, why: str) -> DeclarationError:
    template = entry.templates[0]
    return DeclarationError(
        code,
        f"the template {template} {why}. It is of another version than {entry.name} is for: add "
        f"template:{template}, with the inputs that it proposes itself",
    )
