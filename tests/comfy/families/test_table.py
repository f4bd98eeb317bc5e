"""Every row stands on what ComfyUI has, and what older ones lack is known row by row."""

from __future__ import annotations

import ast
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from comfy.families import table
from comfy.families.family import Edit, Family, Vae
from comfy.families.table import BASES, FAMILIES, base_of, refined

ROOT: Final = Path(__file__).parents[3]
VERSIONS: Final = ("0.3.64", "0.24", "0.33")
LOADERS: Final = {1: "CLIPLoader", 2: "DualCLIPLoader", 3: "TripleCLIPLoader"}
CHAINS: Final = {
    "ksampler": ("KSampler",),
    "flux2": ("SamplerCustomAdvanced", "CFGGuider", "Flux2Scheduler"),
    "sd_turbo": ("SamplerCustom", "SDTurboScheduler"),
}
EDITS: Final[dict[Edit, tuple[str, ...]]] = {
    "reference": ("ReferenceLatent",),
    "kontext": ("ReferenceLatent", "ImageStitch", "FluxKontextImageScale"),
    "qwen": ("TextEncodeQwenImageEdit",),
    "qwen_plus": ("TextEncodeQwenImageEditPlus",),
    "qwen_indexed": ("TextEncodeQwenImageEditPlus", "FluxKontextMultiReferenceLatentMethod"),
}
Catalogue = dict[str, Any]


def catalogue(version: str) -> Catalogue:
    path = ROOT / "comfy/emulator/catalogues" / f"{version}.json.gz"
    found: Catalogue = json.loads(gzip.decompress(path.read_bytes()))
    return found


def field(of: Catalogue, class_type: str, name: str) -> list[Any] | None:
    inputs = of[class_type]["input"]
    found: list[Any] | None = {**inputs.get("required", {}), **inputs.get("optional", {})}.get(name)
    return found


def choices(of: Catalogue, class_type: str, name: str) -> list[str]:
    kind, *rest = field(of, class_type, name) or [[]]
    found: list[str] = kind if isinstance(kind, list) else rest[0]["options"]
    return found


def classes_of(family: Family) -> Iterator[str]:
    yield family.latent
    yield from CHAINS[family.chain]
    yield from (patch.class_type for patch in family.patches)
    yield from EDITS[family.edit] if family.edit else ()
    yield from ("FluxGuidance",) if family.defaults.guidance is not None else ()
    yield from ("InpaintModelConditioning",) if family.inpaints_by_conditioning else ()
    yield from ("ControlNetApplyAdvanced",) if family.has_controls else ()
    yield from (family.control_patch,) if family.control_patch else ()
    if family.parts:
        yield LOADERS.get(len(family.parts.encoders), "QuadrupleCLIPLoader")


def choices_of(family: Family) -> Iterator[tuple[str, str, str]]:
    yield "KSampler", "sampler_name", family.defaults.sampler
    yield "KSampler", "scheduler", family.defaults.scheduler
    if family.edit == "qwen_indexed":
        method = "FluxKontextMultiReferenceLatentMethod"
        yield method, "reference_latents_method", "index_timestep_zero"
    if family.parts and family.parts.clip_type is not None:
        yield LOADERS[len(family.parts.encoders)], "type", family.parts.clip_type
    for patch in family.patches:
        for name, value in patch.values:
            if isinstance(value, str):
                yield patch.class_type, name, value


def lacking(family: Family, of: Catalogue) -> set[str]:
    wanted = {name for name in classes_of(family) if name not in of}
    for class_type, name, value in choices_of(family):
        if class_type in of and value not in choices(of, class_type, name):
            wanted.add(f"{class_type}.{name}={value}")
    return wanted


FLUX2: Final = {"EmptyFlux2LatentImage", "Flux2Scheduler", "CLIPLoader.type=flux2"}
ERNIE: Final = {"EmptyFlux2LatentImage", "CLIPLoader.type=flux2"}
INDEXED: Final = {
    "FluxKontextMultiReferenceLatentMethod.reference_latents_method=index_timestep_zero"
}
LACKING: Final = {
    "0.3.64": {
        "flux2-dev": FLUX2,
        "flux2-klein-4b": FLUX2,
        "flux2-klein-9b": FLUX2,
        "flux2-klein-4b-base": FLUX2,
        "flux2-klein-9b-base": FLUX2,
        "ernie-image": ERNIE,
        "ernie-image-turbo": ERNIE,
        "qwen-image-edit-2511": INDEXED,
        "krea2": {"CLIPLoader.type=krea2"},
        "z-image": {"ZImageFunControlnet"},
        "z-image-turbo": {"ZImageFunControlnet"},
        "anima": {"AnimaLLLiteApply"},
    },
    "0.24": {"krea2": {"CLIPLoader.type=krea2"}, "anima": {"AnimaLLLiteApply"}},
    "0.33": {},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_comfyui_lacks_is_known_row_by_row(version: str) -> None:
    of = catalogue(version)
    found = {name: lacking(family, of) for name, family in FAMILIES.items()}
    assert {name: what for name, what in found.items() if what} == LACKING[version]


def test_every_value_of_a_patch_is_an_input_of_its_class() -> None:
    of = catalogue("0.33")
    wrong = [
        (family.name, patch.class_type, name)
        for family in FAMILIES.values()
        for patch in family.patches
        for name, _ in patch.values
        if field(of, patch.class_type, name) is None
    ]
    assert wrong == []


def test_what_is_changed_is_what_the_class_takes() -> None:
    of = catalogue("0.33")
    for family in FAMILIES.values():
        for patch in family.patches:
            taken = "clip" if patch.is_of_encoder else "model"
            assert field(of, patch.class_type, taken) is not None, (family.name, patch.class_type)


def test_default_sizes_are_sizes_that_latents_take() -> None:
    of = catalogue("0.33")
    for family in FAMILIES.values():
        kind, limits = field(of, family.latent, "width") or ["", {}]
        assert kind == "INT"
        assert family.size_multiple % limits["step"] == 0, family.name
        assert family.defaults.width % family.size_multiple == 0, family.name
        assert family.defaults.height % family.size_multiple == 0, family.name


def test_names_are_plain_and_titles_differ() -> None:
    assert [name for name in FAMILIES if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name)] == []
    assert len({family.title for family in FAMILIES.values()}) == len(FAMILIES)
    assert all(name == family.name for name, family in FAMILIES.items())


ROWS: Final = """
    sd15 sd15-lcm sdxl sdxl-pony sdxl-illustrious sdxl-noobai sdxl-noobai-vpred sdxl-turbo
    sdxl-lightning sdxl-hyper sdxl-lcm sd3-medium sd35-large sd35-large-turbo sd35-medium flux1-dev
    flux1-schnell flux1-krea flux1-kontext flux1-fill flux2-dev flux2-klein-4b flux2-klein-9b
    flux2-klein-4b-base flux2-klein-9b-base chroma chroma-radiance qwen-image qwen-image-edit
    qwen-image-edit-2509 qwen-image-edit-2511 z-image z-image-turbo krea2 anima hidream-full
    hidream-dev hidream-fast lumina2 netayume auraflow cosmos-predict2 ernie-image
    ernie-image-turbo hunyuan-image
"""


def test_every_family_that_easel_promises_is_there() -> None:
    assert set(FAMILIES) == {*ROWS.split(), "sd2", "sdxl-turbo-merge"}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sd15", (512, 512, 20, 7.0, "euler", "normal")),
        ("sdxl", (1024, 1024, 25, 6.5, "dpmpp_2m", "karras")),
    ],
)
def test_the_values_that_easel_always_had_stay(name: str, values: tuple[object, ...]) -> None:
    of = FAMILIES[name].defaults
    assert (of.width, of.height, of.steps, of.cfg, of.sampler, of.scheduler) == values


def test_noobai_s_v_prediction_goes_to_zero_terminal_snr() -> None:
    (patch,) = FAMILIES["sdxl-noobai-vpred"].patches
    assert patch.class_type == "ModelSamplingDiscrete"
    assert dict(patch.values) == {"sampling": "v_prediction", "zsnr": True}


def test_families_that_look_alike_share_their_base() -> None:
    for family in FAMILIES.values():
        if family.looks_like:
            parent = FAMILIES[family.looks_like]
            assert parent.base == family.base
            assert parent.looks_like == ""


def test_versions_are_compared_as_numbers() -> None:
    oldest = {family.name: family.oldest for family in FAMILIES.values() if family.oldest}
    assert all(len(version) == 3 for version in oldest.values())
    assert oldest["flux1-kontext"] < oldest["flux2-dev"] < oldest["flux2-klein-4b"]
    assert oldest["flux2-klein-4b"] < oldest["anima"] < oldest["ernie-image"] < oldest["krea2"]


def test_only_what_edits_takes_references() -> None:
    for family in FAMILIES.values():
        assert (family.references_max > 0) == (family.edit is not None), family.name
        assert family.edit is not None or not family.needs_reference, family.name


@pytest.mark.parametrize(
    ("name", "base"),
    [("flux1-kontext", "flux1"), ("flux1", "flux1"), ("sdxl-pony", "sdxl"), ("flux", None)],
)
def test_a_family_s_name_and_a_base_s_lead_to_the_base(name: str, base: str | None) -> None:
    assert base_of(name) == base
    assert base is None or base in BASES


@pytest.mark.parametrize(
    ("family", "by", "then"),
    [
        ("flux1-dev", "flux1-kontext", "flux1-kontext"),
        ("flux1-dev", "flux1-schnell", "flux1-dev"),  # a header tells these apart
        ("flux1-dev", "sdxl-pony", "flux1-dev"),
        ("flux1-dev", None, "flux1-dev"),
        ("flux1-kontext", "flux1-dev", "flux1-kontext"),
    ],
)
def test_a_finer_word_counts_where_the_header_cannot_tell(
    family: str, by: str | None, then: str
) -> None:
    assert refined(family, by) == then


KNOW_FAMILIES: Final = {
    "table.py", "names.py", "diffusion.py", "unets.py", "loras.py", "controlnets.py", "metadata.py",
    "gguf.py",
}  # fmt: skip
"""The table, and the rules by which files are recognised."""


def test_nothing_else_names_families() -> None:
    """So a new family is a new row, and a rule to recognise it by."""
    words = (set(FAMILIES) | BASES) - set(get_args(Vae))  # some VAEs are called alike
    wrong = [
        f"{path.name}: {node.value}"
        for path in Path(table.__file__).parent.glob("*.py")
        if path.name not in KNOW_FAMILIES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in words
    ]
    assert wrong == []
