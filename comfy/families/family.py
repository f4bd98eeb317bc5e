"""What a family of models is: how it is loaded, sampled and prompted, and what it can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Encoder = Literal[
    "clip_l", "clip_g", "t5xxl", "old_t5xxl", "clip_l_hidream", "clip_g_hidream", "llama_3.1_8b",
    "mistral_3_small", "ministral_3_3b", "qwen_2.5_vl_7b", "byt5_glyph", "qwen_3_0.6b", "qwen_3_4b",
    "qwen_3_8b", "qwen_3_vl_4b", "gemma_2_2b",
]  # fmt: skip
"""Which text encoder a family reads prompts with; ``parts.py`` has the names of its files."""
Vae = Literal[
    "sd15", "sdxl", "sd3", "flux1", "flux2", "qwen_image", "wan_2.1", "hunyuan_image", "pixel_space"
]
"""Which VAE a family has; ``parts.py`` has the names of its files."""
Chain = Literal["ksampler", "flux2", "sd_turbo"]
"""The nodes that sample: KSampler; or SamplerCustomAdvanced with the sigmas of Flux2Scheduler or
SDTurboScheduler."""
Edit = Literal["reference", "kontext", "qwen", "qwen_plus", "qwen_indexed"]
"""How a family takes reference images: ReferenceLatent on both conditionings; the same with the
images stitched and scaled by FluxKontextImageScale; TextEncodeQwenImageEdit with one image;
TextEncodeQwenImageEditPlus with up to three; the same with ``index_timestep_zero``."""


@dataclass(frozen=True)
class Parts:
    """The files beside a diffusion model.

    ``clip_type`` is the ``type`` of CLIPLoader and DualCLIPLoader; None for three and four
    encoders, whose loaders have none.
    """

    encoders: tuple[Encoder, ...]
    vae: Vae
    clip_type: str | None = None


@dataclass(frozen=True)
class Defaults:
    """The values that suit a family, where a request leaves them open. Sizes in pixels.

    ``scheduler`` is KSampler's; the other chains have sigmas of their own. ``guidance`` is
    FluxGuidance's, None where the family takes none.
    """

    width: int
    height: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    guidance: float | None = None


@dataclass(frozen=True)
class Patch:
    """A node that changes the model (or the text encoder) before it is used."""

    class_type: str
    values: tuple[tuple[str, str | int | float | bool], ...] = ()
    is_of_encoder: bool = False


@dataclass(frozen=True)
class Family:
    """A kind of models that are loaded, sampled and prompted alike: one row of the table.

    ``name`` is what settings and requests say, ``title`` what people read. ``base``: LoRAs and
    ControlNets of one base fit all its families. ``parts`` are the files that a diffusion model
    alone needs; None for families that come as checkpoints only. ``size_multiple``: what width and
    height are multiples of, in pixels. ``patches`` change the model before it samples, in order.
    ``control_patch`` is the node that applies a ControlNet of the folder ``model_patches``.
    ``references_max``: the most reference images, 0 for families that do not edit;
    ``needs_reference``: it makes nothing without one. ``inpaints_by_conditioning``: an inpaint
    model, which takes the mask through InpaintModelConditioning, and makes nothing without one.
    ``preamble`` stands before every prompt. ``oldest``: the first version of ComfyUI that can
    sample it, empty for any; a catalogue cannot tell, older ones may accept the graph.
    ``looks_like`` is the family from which a file's header cannot tell it, empty where it can.
    """

    name: str
    title: str
    base: str
    defaults: Defaults
    parts: Parts | None = None
    latent: str = "EmptyLatentImage"
    size_multiple: int = 8
    chain: Chain = "ksampler"
    patches: tuple[Patch, ...] = ()
    lora_reaches_encoder: bool = False
    has_clip_skip: bool = False
    hears_weights: bool = False
    has_controls: bool = False
    control_patch: str | None = None
    edit: Edit | None = None
    references_max: int = 0
    needs_reference: bool = False
    inpaints_by_conditioning: bool = False
    preamble: str = ""
    oldest: tuple[int, ...] = ()
    looks_like: str = ""

    @property
    def pixels(self) -> int:
        """The area that it was trained for."""
        return self.defaults.width * self.defaults.height
