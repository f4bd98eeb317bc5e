"""The families of image models that Easel builds graphs for: a new family is a new row.

Values are those of ComfyUI's official workflow templates and examples (the packages
comfyui-workflow-templates, the repository ComfyUI_examples); where they have none, of the presets
of krita-ai-diffusion. ``oldest`` is the first version whose history has the commit that brought
the model's code; what is older than 0.3.10 has no number and stands as "any".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from comfy.families.family import Defaults, Family, Parts, Patch

_SD15: Final = Family(
    name="sd15",
    title="SD 1.5",
    base="sd15",
    defaults=Defaults(512, 512, 20, 7.0, "euler", "normal"),
    parts=Parts(("clip_l",), "sd15", "stable_diffusion"),
    lora_reaches_encoder=True,
    has_clip_skip=True,
    hears_weights=True,
    has_controls=True,
)
_LCM: Final = Patch("ModelSamplingDiscrete", (("sampling", "lcm"), ("zsnr", False)))
_SD: Final = (
    _SD15,
    replace(
        _SD15,
        name="sd15-lcm",
        title="SD 1.5 LCM",
        defaults=Defaults(512, 512, 6, 1.8, "lcm", "sgm_uniform"),
        patches=(_LCM,),
        looks_like="sd15",
    ),
    replace(
        _SD15,
        name="sd2",
        title="SD 2.1",
        base="sd2",
        defaults=Defaults(768, 768, 20, 7.0, "euler", "normal"),
        parts=None,
    ),
)

_SDXL: Final = replace(
    _SD15,
    name="sdxl",
    title="SDXL",
    base="sdxl",
    defaults=Defaults(1024, 1024, 25, 6.5, "dpmpp_2m", "karras"),
    parts=Parts(("clip_g", "clip_l"), "sdxl", "sdxl"),
)
_OF_SDXL: Final = replace(_SDXL, looks_like="sdxl")
_SDXL_ROWS: Final = (
    _SDXL,
    replace(
        _OF_SDXL,
        name="sdxl-pony",
        title="SDXL Pony",
        defaults=Defaults(1024, 1024, 25, 7.0, "euler_ancestral", "normal"),
    ),
    replace(
        _OF_SDXL,
        name="sdxl-illustrious",
        title="SDXL Illustrious",
        defaults=Defaults(1024, 1024, 26, 5.0, "euler_ancestral", "normal"),
    ),
    replace(
        _OF_SDXL,
        name="sdxl-noobai",
        title="SDXL NoobAI",
        defaults=Defaults(1024, 1024, 26, 5.0, "euler_ancestral", "normal"),
    ),
    replace(
        _OF_SDXL,
        name="sdxl-noobai-vpred",
        title="SDXL NoobAI v-pred",
        defaults=Defaults(1024, 1024, 26, 5.0, "euler", "normal"),
        # ComfyUI knows v-prediction by marker tensors alone, and most files have none.
        patches=(Patch("ModelSamplingDiscrete", (("sampling", "v_prediction"), ("zsnr", True))),),
    ),
    replace(
        _OF_SDXL,
        name="sdxl-turbo",
        title="SDXL Turbo",
        defaults=Defaults(512, 512, 1, 1.0, "euler_ancestral", "normal"),
        chain="sd_turbo",
    ),
    # What people merge from it draws at 1024 and in more steps: with the original's values badly.
    replace(
        _OF_SDXL,
        name="sdxl-turbo-merge",
        title="SDXL Turbo merge",
        defaults=Defaults(1024, 1024, 6, 2.0, "dpmpp_sde", "karras"),
    ),
    replace(
        _OF_SDXL,
        name="sdxl-lightning",
        title="SDXL Lightning",
        defaults=Defaults(1024, 1024, 8, 1.5, "euler", "sgm_uniform"),
    ),
    replace(
        _OF_SDXL,
        name="sdxl-hyper",
        title="Hyper-SDXL",
        defaults=Defaults(1024, 1024, 8, 1.5, "euler", "sgm_uniform"),
    ),
    replace(
        _OF_SDXL,
        name="sdxl-lcm",
        title="SDXL LCM",
        defaults=Defaults(1024, 1024, 6, 1.8, "lcm", "sgm_uniform"),
        patches=(_LCM,),
    ),
)

_SD3: Final = Family(
    name="sd3-medium",
    title="SD3 Medium",
    base="sd3",
    defaults=Defaults(1024, 1024, 28, 4.5, "euler", "sgm_uniform"),
    parts=Parts(("clip_l", "clip_g", "t5xxl"), "sd3"),
    latent="EmptySD3LatentImage",
    size_multiple=16,
    lora_reaches_encoder=True,
    hears_weights=True,
    has_controls=True,
)
_SD35_LARGE: Final = replace(
    _SD3,
    name="sd35-large",
    title="SD3.5 Large",
    base="sd35-large",
    defaults=Defaults(1024, 1024, 20, 4.0, "euler", "sgm_uniform"),
)
_SD3_ROWS: Final = (
    _SD3,
    _SD35_LARGE,
    replace(
        _SD35_LARGE,
        name="sd35-large-turbo",
        title="SD3.5 Large Turbo",
        defaults=Defaults(1024, 1024, 4, 1.0, "euler", "sgm_uniform"),
        looks_like="sd35-large",
    ),
    replace(
        _SD3,
        name="sd35-medium",
        title="SD3.5 Medium",
        base="sd35-medium",
        defaults=Defaults(1024, 1024, 40, 4.5, "euler", "sgm_uniform"),
        has_controls=False,
    ),
)

_FLUX1: Final = Family(
    name="flux1-dev",
    title="Flux.1 dev",
    base="flux1",
    defaults=Defaults(1024, 1024, 20, 1.0, "euler", "simple", guidance=3.5),
    parts=Parts(("clip_l", "t5xxl"), "flux1", "flux"),
    latent="EmptySD3LatentImage",
    size_multiple=16,
    hears_weights=True,
    has_controls=True,
)
_FLUX1_ROWS: Final = (
    _FLUX1,
    replace(
        _FLUX1,
        name="flux1-schnell",
        title="Flux.1 schnell",
        defaults=Defaults(1024, 1024, 4, 1.0, "euler", "simple"),
    ),
    replace(_FLUX1, name="flux1-krea", title="Flux.1 Krea dev", looks_like="flux1-dev"),
    replace(
        _FLUX1,
        name="flux1-kontext",
        title="Flux.1 Kontext dev",
        defaults=Defaults(1024, 1024, 20, 1.0, "euler", "simple", guidance=2.5),
        edit="kontext",
        references_max=4,
        oldest=(0, 3, 42),
        looks_like="flux1-dev",
    ),
    replace(
        _FLUX1,
        name="flux1-fill",
        title="Flux.1 Fill dev",
        defaults=Defaults(1024, 1024, 20, 1.0, "euler", "normal", guidance=30.0),
        inpaints_by_conditioning=True,
    ),
)

_FLUX2: Final = Family(
    name="flux2-dev",
    title="Flux.2 dev",
    base="flux2-dev",
    defaults=Defaults(1024, 1024, 20, 1.0, "euler", "simple", guidance=4.0),
    parts=Parts(("mistral_3_small",), "flux2", "flux2"),
    latent="EmptyFlux2LatentImage",
    size_multiple=16,
    chain="flux2",
    edit="reference",
    references_max=10,
    oldest=(0, 3, 72),
)
_KLEIN_4B: Final = replace(
    _FLUX2,
    name="flux2-klein-4b",
    title="Flux.2 Klein 4B",
    base="flux2-klein-4b",
    defaults=Defaults(1024, 1024, 4, 1.0, "euler", "simple"),
    parts=Parts(("qwen_3_4b",), "flux2", "flux2"),
    oldest=(0, 9, 2),
)
_KLEIN_9B: Final = replace(
    _KLEIN_4B,
    name="flux2-klein-9b",
    title="Flux.2 Klein 9B",
    base="flux2-klein-9b",
    parts=Parts(("qwen_3_8b",), "flux2", "flux2"),
)
_UNDISTILLED: Final = Defaults(1024, 1024, 20, 5.0, "euler", "simple")
_FLUX2_ROWS: Final = (
    _FLUX2,
    _KLEIN_4B,
    _KLEIN_9B,
    replace(
        _KLEIN_4B,
        name="flux2-klein-4b-base",
        title="Flux.2 Klein 4B base",
        defaults=_UNDISTILLED,
        looks_like="flux2-klein-4b",
    ),
    replace(
        _KLEIN_9B,
        name="flux2-klein-9b-base",
        title="Flux.2 Klein 9B base",
        defaults=_UNDISTILLED,
        looks_like="flux2-klein-9b",
    ),
)

_CHROMA: Final = Family(
    name="chroma",
    title="Chroma",
    base="chroma",
    defaults=Defaults(1024, 1024, 26, 3.5, "euler", "beta"),
    parts=Parts(("t5xxl",), "flux1", "chroma"),
    latent="EmptySD3LatentImage",
    size_multiple=16,
    patches=(
        Patch("T5TokenizerOptions", (("min_padding", 0), ("min_length", 0)), is_of_encoder=True),
        Patch("ModelSamplingAuraFlow", (("shift", 1.0),)),
    ),
    hears_weights=True,
    oldest=(0, 3, 31),
)
_CHROMA_ROWS: Final = (
    _CHROMA,
    replace(
        _CHROMA,
        name="chroma-radiance",
        title="Chroma Radiance",
        defaults=Defaults(1024, 1024, 30, 3.5, "euler", "beta"),
        parts=Parts(("t5xxl",), "pixel_space", "chroma"),
        latent="EmptyChromaRadianceLatentImage",
        oldest=(0, 3, 60),
    ),
)

_QWEN: Final = Family(
    name="qwen-image",
    title="Qwen-Image",
    base="qwen-image",
    defaults=Defaults(1328, 1328, 20, 2.5, "euler", "simple"),
    parts=Parts(("qwen_2.5_vl_7b",), "qwen_image", "qwen_image"),
    latent="EmptySD3LatentImage",
    size_multiple=16,
    patches=(Patch("ModelSamplingAuraFlow", (("shift", 3.1),)),),
    has_controls=True,
    control_patch="QwenImageDiffsynthControlnet",
    oldest=(0, 3, 49),
)
_CFG_NORM: Final = Patch("CFGNorm", (("strength", 1.0),))
_QWEN_EDIT: Final = replace(
    _QWEN,
    name="qwen-image-edit",
    title="Qwen-Image-Edit",
    defaults=Defaults(1024, 1024, 20, 2.5, "euler", "simple"),
    patches=(Patch("ModelSamplingAuraFlow", (("shift", 3.0),)), _CFG_NORM),
    edit="qwen",
    references_max=1,
    needs_reference=True,
    oldest=(0, 3, 51),
    looks_like="qwen-image",
)
_QWEN_ROWS: Final = (
    _QWEN,
    _QWEN_EDIT,
    replace(
        _QWEN_EDIT,
        name="qwen-image-edit-2509",
        title="Qwen-Image-Edit 2509",
        defaults=Defaults(1024, 1024, 20, 4.0, "euler", "simple"),
        edit="qwen_plus",
        references_max=3,
        oldest=(0, 3, 60),
    ),
    replace(
        _QWEN_EDIT,
        name="qwen-image-edit-2511",
        title="Qwen-Image-Edit 2511",
        defaults=Defaults(1024, 1024, 40, 4.0, "euler", "simple"),
        patches=(Patch("ModelSamplingAuraFlow", (("shift", 3.1),)), _CFG_NORM),
        edit="qwen_indexed",
        references_max=3,
        oldest=(0, 5, 0),
    ),
)

_Z_IMAGE: Final = Family(
    name="z-image",
    title="Z-Image",
    base="z-image",
    defaults=Defaults(1024, 1024, 25, 4.0, "res_multistep", "simple"),
    parts=Parts(("qwen_3_4b",), "flux1", "lumina2"),
    latent="EmptySD3LatentImage",
    size_multiple=16,
    patches=(Patch("ModelSamplingAuraFlow", (("shift", 3.0),)),),
    control_patch="ZImageFunControlnet",
    oldest=(0, 3, 74),
)
_Z_IMAGE_ROWS: Final = (
    _Z_IMAGE,
    replace(
        _Z_IMAGE,
        name="z-image-turbo",
        title="Z-Image Turbo",
        defaults=Defaults(1024, 1024, 8, 1.0, "res_multistep", "simple"),
        looks_like="z-image",
    ),
)

_KREA2: Final = Family(
    name="krea2",
    title="Krea 2",
    base="krea2",
    defaults=Defaults(1024, 1024, 8, 1.0, "euler", "simple"),
    parts=Parts(("qwen_3_vl_4b",), "qwen_image", "krea2"),
    size_multiple=16,
    oldest=(0, 26, 0),
)
_ANIMA: Final = Family(
    name="anima",
    title="Anima",
    base="anima",
    defaults=Defaults(1024, 1024, 30, 4.0, "euler", "simple"),
    parts=Parts(("qwen_3_0.6b",), "qwen_image", "stable_diffusion"),
    size_multiple=16,
    hears_weights=True,
    control_patch="AnimaLLLiteApply",
    oldest=(0, 11, 0),
)

_HIDREAM: Final = Family(
    name="hidream-full",
    title="HiDream-I1 full",
    base="hidream",
    defaults=Defaults(1024, 1024, 50, 5.0, "uni_pc", "simple"),
    parts=Parts(("clip_l_hidream", "clip_g_hidream", "t5xxl", "llama_3.1_8b"), "flux1"),
    latent="EmptySD3LatentImage",
    size_multiple=16,
    patches=(Patch("ModelSamplingSD3", (("shift", 3.0),)),),
    hears_weights=True,
    oldest=(0, 3, 29),
)
_HIDREAM_ROWS: Final = (
    _HIDREAM,
    replace(
        _HIDREAM,
        name="hidream-dev",
        title="HiDream-I1 dev",
        defaults=Defaults(1024, 1024, 28, 1.0, "lcm", "normal"),
        patches=(Patch("ModelSamplingSD3", (("shift", 6.0),)),),
        looks_like="hidream-full",
    ),
    replace(
        _HIDREAM,
        name="hidream-fast",
        title="HiDream-I1 fast",
        defaults=Defaults(1024, 1024, 16, 1.0, "lcm", "normal"),
        looks_like="hidream-full",
    ),
)

_LUMINA2: Final = Family(
    name="lumina2",
    title="Lumina 2",
    base="lumina2",
    defaults=Defaults(1024, 1024, 25, 4.0, "res_multistep", "simple"),
    parts=Parts(("gemma_2_2b",), "flux1", "lumina2"),
    latent="EmptySD3LatentImage",
    size_multiple=16,
    patches=(Patch("ModelSamplingAuraFlow", (("shift", 6.0),)),),
    hears_weights=True,
    preamble=(
        "You are an assistant designed to generate superior images with the superior degree of "
        "image-text alignment based on textual prompts or user prompts. <Prompt Start> "
    ),
    oldest=(0, 3, 14),
)
_LUMINA2_ROWS: Final = (
    _LUMINA2,
    replace(
        _LUMINA2,
        name="netayume",
        title="NetaYume Lumina",
        defaults=Defaults(1024, 1024, 30, 4.0, "res_multistep", "simple"),
        patches=(Patch("ModelSamplingAuraFlow", (("shift", 4.0),)),),
        preamble=(
            "You are an assistant designed to generate high quality anime images based on "
            "textual prompts. <Prompt Start> "
        ),
        looks_like="lumina2",
    ),
)

_AURAFLOW: Final = Family(
    name="auraflow",
    title="AuraFlow",
    base="auraflow",
    defaults=Defaults(1024, 1024, 20, 3.5, "euler", "sgm_uniform"),
    size_multiple=16,
    hears_weights=True,
)
_COSMOS: Final = Family(
    name="cosmos-predict2",
    title="Cosmos Predict2",
    base="cosmos-predict2",
    defaults=Defaults(1024, 1024, 30, 4.0, "euler", "simple"),
    parts=Parts(("old_t5xxl",), "wan_2.1", "cosmos"),
    latent="EmptySD3LatentImage",
    size_multiple=16,
    hears_weights=True,
    oldest=(0, 3, 41),
)

_ERNIE: Final = Family(
    name="ernie-image",
    title="ERNIE-Image",
    base="ernie-image",
    defaults=Defaults(1024, 1024, 20, 4.0, "euler", "simple"),
    parts=Parts(("ministral_3_3b",), "flux2", "flux2"),
    latent="EmptyFlux2LatentImage",
    size_multiple=16,
    oldest=(0, 19, 0),
)
_ERNIE_ROWS: Final = (
    _ERNIE,
    replace(
        _ERNIE,
        name="ernie-image-turbo",
        title="ERNIE-Image Turbo",
        defaults=Defaults(1024, 1024, 8, 1.0, "euler", "simple"),
        looks_like="ernie-image",
    ),
)

_HUNYUAN_IMAGE: Final = Family(
    name="hunyuan-image",
    title="Hunyuan Image 2.1",
    base="hunyuan-image",
    defaults=Defaults(2048, 2048, 20, 3.5, "euler", "simple"),
    parts=Parts(("qwen_2.5_vl_7b", "byt5_glyph"), "hunyuan_image", "hunyuan_image"),
    latent="EmptyHunyuanImageLatent",
    size_multiple=32,
    oldest=(0, 3, 58),
)

_ROWS: Final = (
    *_SD, *_SDXL_ROWS, *_SD3_ROWS, *_FLUX1_ROWS, *_FLUX2_ROWS, *_CHROMA_ROWS, *_QWEN_ROWS,
    *_Z_IMAGE_ROWS, _KREA2, _ANIMA, *_HIDREAM_ROWS, *_LUMINA2_ROWS, _AURAFLOW, _COSMOS,
    *_ERNIE_ROWS, _HUNYUAN_IMAGE,
)  # fmt: skip

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({row.name: row for row in _ROWS})
"""The rows by name, related ones beside each other."""
BASES: Final = frozenset(row.base for row in _ROWS)
"""What LoRAs and ControlNets are known by."""
_BASE_TITLES: Final = {"flux1": "Flux.1", "hidream": "HiDream-I1", "sd3": "SD3"}
"""What people call the bases that no row is named after."""


def base_of(name: str) -> str | None:
    """Returns the base of a family's or a base's name, None for neither."""
    if name in FAMILIES:
        return FAMILIES[name].base
    return name if name in BASES else None


def refined(family: str, by: str | None) -> str:
    """Returns ``by`` where it is a finer word for ``family``, else ``family``.

    A header cannot tell some families from the one that they were trained from.
    """
    finer = FAMILIES.get(by or "")
    return finer.name if finer is not None and finer.looks_like == family else family


def title_of(name: str) -> str | None:
    """Returns what people call a family, or a base; None for neither."""
    family = FAMILIES.get(name)
    return family.title if family is not None else _BASE_TITLES.get(name)
