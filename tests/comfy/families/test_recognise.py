"""All that is known of a file together: the owner's word, its header, its maker's, its name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy.families.header import Header
from comfy.families.headers import read_header
from comfy.families.models import DIFFUSION_FOLDERS, Setting
from comfy.families.recognise import recognise
from comfy.families.table import BASES, FAMILIES
from tests.comfy.families import files
from tests.comfy.families.files import FOREIGN, PARTS, ROWS, SD15, SDXL
from tests.comfy.families.test_loras import generic, kohya
from tests.comfy.families.test_names import MODELS

BY_HEADER: Final = {name: family.looks_like or name for name, family in FAMILIES.items()}
"""As which row each row's files are known when nothing but a header tells."""


def header_of(row: str) -> Header:
    return Header(ROWS[BY_HEADER[row]])


@pytest.mark.parametrize("row", FAMILIES)
def test_a_file_of_a_header_only_is_known_by_its_header(tmp_path: Path, row: str) -> None:
    path = files.written(
        tmp_path / "a.safetensors", files.safetensors(ROWS[BY_HEADER[row]], {"format": "pt"})
    )
    found = recognise("diffusion_models", path.name, read_header(path))
    assert (found.family, found.reason) == (BY_HEADER[row], "header")


@pytest.mark.parametrize("row", FAMILIES)
@pytest.mark.parametrize("folder", DIFFUSION_FOLDERS)
def test_a_header_and_a_name_tell_every_row(folder: str, row: str) -> None:
    for name in MODELS[row]:
        found = recognise(folder, f"{name}.safetensors", header_of(row))
        assert (name, found.family, found.reason) == (name, row, "header")


@pytest.mark.parametrize("row", FAMILIES)
def test_without_a_header_a_name_tells_the_row(row: str) -> None:
    for name in MODELS[row]:
        found = recognise("diffusion_models", f"{name}.safetensors")
        assert (name, found.family, found.reason) == (name, row, "name")


@pytest.mark.parametrize("row", FAMILIES)
def test_without_either_nothing_is_known(row: str) -> None:
    found = recognise("diffusion_models", "a.safetensors")
    assert (found.family, found.reason, found.detail) == (None, "unknown", "")


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", [*(names[0] for names in MODELS.values()), "wan2.1_t2v"])
def test_a_name_never_overrules_a_header(row: str, name: str) -> None:
    found = recognise("checkpoints", f"{name}.safetensors", Header(ROWS[row]))
    assert found.family is not None
    assert BY_HEADER[found.family] == row or found.family == row


@pytest.mark.parametrize("title", FOREIGN)
def test_a_name_makes_no_family_of_what_the_header_knows_as_another_s(title: str) -> None:
    found = recognise("checkpoints", "flux1-dev.safetensors", Header(FOREIGN[title]))
    assert (found.family, found.reason) == (None, "header")
    assert title in found.detail


@pytest.mark.parametrize("part", PARTS)
def test_what_lies_in_the_wrong_folder_is_no_model(part: str) -> None:
    found = recognise("checkpoints", "sd_xl_base.safetensors", Header(PARTS[part]))
    assert (found.family, found.reason) == (None, "header")


def test_a_lora_among_the_models_is_named() -> None:
    header = Header(kohya("single_blocks.0.linear1", 3072, 21504))
    found = recognise("checkpoints", "a.safetensors", header)
    assert found.family is None
    assert found.detail.startswith("a LoRA, by ")
    assert recognise("loras", "a.safetensors", Header(SDXL)).detail.startswith("a model, by ")


def test_the_order_is_setting_header_metadata_name() -> None:
    name, header, written = "z_image.safetensors", Header(SD15), {"ss_base_model_version": "anima"}
    setting = Setting("krea2")
    folder = "diffusion_models"
    order = [
        recognise(folder, name, header, written, setting),
        recognise(folder, name, header, written),
        recognise(folder, name, None, written),
        recognise(folder, name),
    ]
    assert [(one.family, one.reason) for one in order] == [
        ("krea2", "setting"),
        ("sd15", "header"),
        ("anima", "metadata"),
        ("z-image", "name"),
    ]


def test_a_header_that_fits_nothing_leaves_it_to_the_name() -> None:
    header = Header({"new.weight": (1,)})
    assert recognise("checkpoints", "flux1-dev.safetensors", header).reason == "name"
    guessed = recognise("checkpoints", "dreamshaper_8.safetensors", header)
    assert (guessed.family, guessed.reason) == (None, "unknown")


def test_a_checkpoint_that_nothing_is_known_of_is_sd15_as_it_always_was() -> None:
    found = recognise("checkpoints", "dreamshaper_8.safetensors")
    assert (found.family, found.reason) == ("sd15", "name")
    assert "a guess" in found.detail


@pytest.mark.parametrize(
    ("row", "metadata", "name", "family"),
    [
        ("flux1-dev", {"modelspec.architecture": "flux.1-dev/kontext"}, "a", "flux1-kontext"),
        ("flux1-dev", {"modelspec.architecture": "flux.1-dev/kontext"}, "krea", "flux1-kontext"),
        ("flux1-dev", {"modelspec.architecture": "flux-1-schnell"}, "a", "flux1-dev"),
        ("qwen-image", {"ss_base_model_version": "qwen_image_edit"}, "a", "qwen-image-edit"),
        ("qwen-image", {"ss_base_model_version": "qwen_image_edit"}, "e_2511",
         "qwen-image-edit-2511"),
        ("qwen-image-edit-2511", {"modelspec.architecture": "qwen-image-edit"}, "a",
         "qwen-image-edit-2511"),
        ("sd35-large", {"modelspec.architecture": "stable-diffusion-v3-medium"}, "a", "sd35-large"),
        ("sdxl", {"modelspec.architecture": "stable-diffusion-xl-turbo-v1"}, "a", "sdxl-turbo"),
        ("sdxl", {"modelspec.architecture": "flux-1-dev"}, "a", "sdxl"),
    ],
)  # fmt: skip
def test_a_maker_s_word_tells_apart_what_a_header_cannot(
    row: str, metadata: dict[str, str], name: str, family: str
) -> None:
    found = recognise("diffusion_models", f"{name}.safetensors", Header(ROWS[row], metadata))
    assert (found.family, found.reason) == (family, "header")


def test_the_detail_says_all_that_told_it() -> None:
    header = Header(ROWS["flux1-dev"])
    found = recognise("diffusion_models", "my_kontext.safetensors", header)
    assert found.detail == "img_in.weight of 3072 × 64 in the file's header; kontext in its name"


@pytest.mark.parametrize(
    ("metadata", "base"),
    [
        ({}, "flux1"),
        ({"ss_base_model_version": "chroma"}, "chroma"),
        ({"modelspec.architecture": "Chroma1/lora"}, "chroma"),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "flux1"),  # shapes know better
    ],
)
def test_a_lora_s_maker_tells_flux_from_chroma(metadata: dict[str, str], base: str) -> None:
    header = Header(kohya("single_blocks.0.linear1", 3072, 21504), metadata)
    found = recognise("loras", "a.safetensors", header)
    assert (found.family, found.reason) == (base, "header")


def test_a_lora_has_its_base_and_its_words() -> None:
    metadata = {"ss_base_model_version": "flux1", "modelspec.trigger_phrase": "mychar"}
    found = recognise("loras", "a.safetensors", None, metadata)
    assert (found.family, found.reason) == ("flux1", "metadata")
    assert found.trigger_words == ("mychar",)
    assert found.detail == "ss_base_model_version flux1"
    assert recognise("diffusion_models", "a", None, metadata).trigger_words == ()


def test_a_lora_for_others_is_named_by_its_maker() -> None:
    found = recognise("loras", "sdxl_style.safetensors", None, {"ss_base_model_version": "wan"})
    assert (found.family, found.reason) == (None, "metadata")
    header = Header(generic("blocks.0.cross_attn.k", 5120, 5120))
    assert recognise("loras", "sdxl_style.safetensors", header).family is None


def test_a_lora_of_few_steps_says_so() -> None:
    header = Header(kohya("transformer_blocks.0.img_mlp.net.0.proj", 3072, 12288))
    found = recognise("loras", "Qwen-Image-Lightning-8steps-V1.0.safetensors", header)
    assert found.family == "qwen-image"
    assert found.traits == {"few_steps"}


def test_a_controlnet_s_header_and_name_add_up() -> None:
    header = Header(
        {"controlnet_blocks.0.weight": (3072, 3072), "controlnet_x_embedder.weight": (3072, 64)}
    )
    found = recognise("controlnet", "FLUX.1-dev-ControlNet-Union-Pro-2.0.safetensors", header)
    assert (found.family, found.reason) == ("flux1", "header")
    assert found.traits == {"union"}


CLIP: Final = files.prefixed("cond_stage_model.transformer.", PARTS["clip"])
VAE: Final = files.prefixed("first_stage_model.", PARTS["vae"])
BARE: Final = {"without_encoder", "without_vae"}


@pytest.mark.parametrize(
    ("inside", "traits"),
    [
        ({}, BARE),
        (CLIP, {"without_vae"}),
        (VAE, {"without_encoder"}),
        ({**CLIP, **VAE}, set()),
    ],
)
def test_a_checkpoint_says_which_parts_it_lacks(
    inside: dict[str, tuple[int, ...]], traits: set[str]
) -> None:
    header = Header({**files.prefixed("model.diffusion_model.", SD15), **inside})
    assert recognise("checkpoints", "a.safetensors", header).traits == traits
    assert recognise("diffusion_models", "a.safetensors", header).traits == set()


def test_the_owner_s_files_are_kept_whatever_the_family() -> None:
    setting = Setting(text_encoders=("a", "b"), vae="c")
    found = recognise("diffusion_models", "flux1-dev.safetensors", None, None, setting)
    assert (found.family, found.reason) == ("flux1-dev", "name")
    assert (found.text_encoders, found.vae) == (("a", "b"), "c")


@pytest.mark.parametrize(
    ("folder", "said", "family"),
    [
        ("checkpoints", "sdxl-pony", "sdxl-pony"),
        ("loras", "sdxl-pony", "sdxl"),
        ("loras", "flux1", "flux1"),
        ("controlnet", "qwen-image-edit", "qwen-image"),
    ],
)
def test_the_owner_s_family_counts(folder: str, said: str, family: str) -> None:
    found = recognise(folder, "a.safetensors", Header(SD15), None, Setting(said))
    assert (found.family, found.reason, found.detail) == (family, "setting", "the settings")


@pytest.mark.parametrize("said", ["Flux", "flux1", ""])
def test_an_owner_s_word_that_is_no_family_is_said_and_left(said: str) -> None:
    found = recognise("checkpoints", "a.safetensors", Header(SD15), None, Setting(said))
    assert (found.family, found.reason) == ("sd15", "header")
    assert found.detail.startswith(f"the setting's {said!r} is no family; ")


def test_files_of_other_folders_have_no_family() -> None:
    found = recognise("vae", "flux1-dev.safetensors", Header(SD15))
    assert (found.family, found.reason) == (None, "unknown")


TEXTS: Final = st.none() | st.text()
SHAPES: Final = st.lists(st.integers(0, 4000), max_size=4).map(tuple)
NAMES: Final = st.sampled_from(sorted({name for shapes in ROWS.values() for name in shapes}))
METADATA: Final = st.none() | st.dictionaries(st.text(), st.text())
HEADERS: Final = st.none() | st.builds(
    Header, st.dictionaries(NAMES | st.text(), SHAPES), METADATA.map(lambda one: one or {})
)


@given(
    st.sampled_from(["checkpoints", "diffusion_models", "loras", "controlnet", "vae"]) | st.text(),
    st.text(),
    HEADERS,
    METADATA,
    st.none() | st.builds(Setting, TEXTS, st.none(), TEXTS),
)
def test_nothing_raises(
    folder: str,
    name: str,
    header: Header | None,
    metadata: dict[str, str] | None,
    setting: Setting | None,
) -> None:
    found = recognise(folder, name, header, metadata, setting)
    assert (found.folder, found.name) == (folder, name)
    assert found.family is None or found.family in FAMILIES or found.family in BASES
