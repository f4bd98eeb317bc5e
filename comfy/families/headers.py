"""Reading a model file's header, and what it says that the file is."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO

from comfy.families import gguf
from comfy.families.components import of_autoencoder, of_component
from comfy.families.controlnets import of_controlnet
from comfy.families.diffusion import of_diffusion
from comfy.families.header import Header, HeaderError
from comfy.families.loras import of_lora
from comfy.families.safetensors import read_safetensors
from comfy.families.tensors import Tensors
from comfy.families.unets import of_unet
from comfy.families.verdict import Verdict

_UNKNOWN = Verdict("unknown", None, "")


def read_header(file: Path) -> Header:
    """Returns the header of a safetensors or GGUF file; reads no more of it.

    Raises HeaderError for what cannot be read: another format, a cut-off or malformed header, or
    one of more than ``HEADER_MAX`` bytes.
    """
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):
            raise HeaderError("it is no file")
        with file.open("rb") as opened:
            return _read(opened, about.st_size)
    except (OSError, ValueError) as exc:  # ValueError: a name with a NUL in it
        raise HeaderError(f"it cannot be read: {exc}") from exc


def _read(file: BinaryIO, size: int) -> Header:
    if file.read(len(gguf.MAGIC)) == gguf.MAGIC:
        return gguf.read_gguf(file, size)
    return read_safetensors(file, size)


def of_header(header: Header) -> Verdict:
    """Returns what a file is, and of which family.

    What people put on top of models comes first: it has names of its model's tensors.
    """
    return of_controlnet(header) or of_lora(header) or _of_model(header) or _UNKNOWN


def _of_model(header: Header) -> Verdict | None:
    everything = Tensors.of(header)
    tensors = Tensors.of_diffusion(header)
    return (
        of_diffusion(tensors)
        or of_unet(tensors, everything)
        or of_component(header)
        or of_autoencoder(header)
    )
