"""A file is known by its header, whatever it is called; a hostile one is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy.families.header import HEADER_MAX, Header, HeaderError
from comfy.families.headers import of_header, read_header
from comfy.families.table import BASES, FAMILIES
from comfy.families.verdict import Verdict
from tests.comfy.families import files
from tests.comfy.families.files import FOREIGN, PARTS, ROWS, SD15, SDXL, Shapes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


def verdict_of(path: Path, shapes: Shapes) -> Verdict:
    return of_header(read_header(files.written(path, files.safetensors(shapes))))


def test_every_row_is_known_by_its_header_or_looks_like_one_that_is() -> None:
    looks_alike = {name for name, family in FAMILIES.items() if family.looks_like}
    assert set(ROWS) | looks_alike == set(FAMILIES)
    assert set(ROWS) & looks_alike == {"qwen-image-edit-2511"}  # ComfyUI's own files are marked
    assert {FAMILIES[name].looks_like for name in looks_alike} <= set(ROWS)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "net.", "diffusion_model."])
def test_a_row_s_header_is_known_behind_every_prefix(path: Path, row: str, prefix: str) -> None:
    found = verdict_of(path, files.prefixed(prefix, ROWS[row]))
    assert (found.kind, found.family) == ("model", row)
    assert found.detail.endswith("in the file's header")


@pytest.mark.parametrize("row", ROWS)
def test_a_row_s_header_is_known_in_a_whole_checkpoint(path: Path, row: str) -> None:
    shapes = {
        **files.prefixed("model.diffusion_model.", ROWS[row]),
        **files.prefixed("text_encoders.t5xxl.transformer.", PARTS["t5"]),
        **files.prefixed("cond_stage_model.transformer.", PARTS["clip"]),
        **files.prefixed("first_stage_model.", PARTS["vae"]),
    }
    assert verdict_of(path, shapes).family == row


@pytest.mark.parametrize("row", ROWS)
def test_a_row_s_header_is_known_in_gguf(tmp_path: Path, row: str) -> None:
    content = files.gguf(ROWS[row], {"general.architecture": "flux"})
    header = read_header(files.written(tmp_path / "a.gguf", content))
    assert header.architecture == "flux"
    assert dict(header.tensors) == ROWS[row]
    assert of_header(header).family == row


@pytest.mark.parametrize("row", ROWS)
def test_quantised_files_keep_their_family(path: Path, row: str) -> None:
    extra = {f"{name}.comfy_quant": (64,) for name in ROWS[row]} | {"scaled_fp8": (0,)}
    assert verdict_of(path, {**ROWS[row], **extra}).family == row


@pytest.mark.parametrize("title", FOREIGN)
def test_models_of_others_are_named_and_not_taken_for_ours(path: Path, title: str) -> None:
    found = verdict_of(path, FOREIGN[title])
    assert (found.kind, found.family) == ("model", None)
    assert title in found.detail


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        *((part, "vae") for part in PARTS if part.startswith("vae")),
        *((part, "text_encoder") for part in ("clip", "open clip", "t5", "qwen", "qwen vl")),
        ("clip vision", "clip_vision"),
        ("redux", "style_model"),
        ("embedding", "embedding"),
        ("embedding of SDXL", "embedding"),
        ("upscaler", "upscaler"),
    ],
)
def test_what_lies_beside_models_is_none(path: Path, part: str, kind: str) -> None:
    found = verdict_of(path, PARTS[part])
    assert (found.kind, found.family) == (kind, None)


def test_every_part_has_its_case() -> None:
    assert len(PARTS) == 13


@pytest.mark.parametrize("name", ["qwen2vl", "t5encoder", "llama"])
def test_text_encoders_in_gguf_are_none(tmp_path: Path, name: str) -> None:
    content = files.gguf({"blk.0.attn_q.weight": (4, 4)}, {"general.architecture": name})
    assert of_header(read_header(files.written(tmp_path / "a", content))).kind == "text_encoder"


@pytest.mark.parametrize("shapes", [{}, {"something.weight": (3, 3)}])
def test_what_nobody_knows_is_unknown(path: Path, shapes: Shapes) -> None:
    assert verdict_of(path, shapes) == Verdict("unknown", None, "")


# What is so alike that one takes it for the other.

_SCALE: Final = "double_blocks.0.img_attn.norm.key_norm.scale"


def test_either_name_of_a_norm_is_known(path: Path) -> None:
    shapes = {name: shape for name, shape in ROWS["flux1-dev"].items() if name != _SCALE}
    assert verdict_of(path, {**shapes, _SCALE.replace("scale", "weight"): (128,)}).family == (
        "flux1-dev"
    )


def test_flux_without_guidance_is_schnell_only_with_a_pooled_vector(path: Path) -> None:
    without = {
        name: shape for name, shape in ROWS["flux1-schnell"].items() if "vector_in" not in name
    }
    assert verdict_of(path, ROWS["flux1-schnell"]).family == "flux1-schnell"
    assert verdict_of(path, without).family is None


@pytest.mark.parametrize(
    ("markers", "traits"),
    [
        ((), set()),
        (("v_pred",), {"v_prediction"}),
        (("v_pred", "ztsnr"), {"v_prediction", "zero_terminal_snr"}),
    ],
)
def test_sdxl_s_markers_are_traits(path: Path, markers: tuple[str, ...], traits: set[str]) -> None:
    shapes = {
        **files.prefixed("model.diffusion_model.", SDXL),
        **dict.fromkeys(markers, (0,)),
    }
    found = verdict_of(path, shapes)
    assert found.family == "sdxl"
    assert found.traits == traits


def test_the_markers_of_an_sd15_model_are_not_read(path: Path) -> None:
    assert verdict_of(path, {**SD15, "v_pred": (0,)}).traits == frozenset()


@pytest.mark.parametrize(("shapes", "family"), [(SD15, "sd15"), (SDXL, "sdxl")])
def test_nine_channels_are_an_inpaint_model(path: Path, shapes: Shapes, family: str) -> None:
    found = verdict_of(path, {**shapes, "input_blocks.0.0.weight": (320, 9, 3, 3)})
    assert found.family == family
    assert found.traits == {"inpaint"}


def test_the_refiner_is_a_trait(path: Path) -> None:
    shapes = {"input_blocks.0.0.weight": (384, 4, 3, 3), "label_emb.0.0.weight": (1536, 2560)}
    found = verdict_of(path, shapes)
    assert found.family == "sdxl"
    assert found.traits == {"refiner"}


def test_the_distilled_hunyuan_image_takes_few_steps(path: Path) -> None:
    shapes = {**ROWS["hunyuan-image"], "guidance_in.in_layer.weight": (3584, 256)}
    assert verdict_of(path, shapes).traits == {"few_steps"}


_T0: Final = "transformer_blocks.0"
DIFFUSERS: Final[dict[str, Shapes]] = {
    "sd15": {
        "conv_in.weight": (320, 4, 3, 3),
        f"down_blocks.0.attentions.0.{_T0}.attn2.to_k.weight": (320, 768),
    },
    "sdxl": {
        "conv_in.weight": (320, 4, 3, 3),
        "down_blocks.0.resnets.0.norm1.weight": (320,),
        "add_embedding.linear_1.weight": (1280, 2816),
    },
    "auraflow": {f"joint_{_T0}.attn.add_k_proj.weight": (3072, 3072)},
    "z-image": {"noise_refiner.0.attention.norm_k.weight": (128,)},
    "flux1-dev": {
        "x_embedder.weight": (3072, 64),
        "single_transformer_blocks.0.attn.norm_q.weight": (128,),
        "time_text_embed.guidance_embedder.linear_1.weight": (3072, 256),
        "time_text_embed.text_embedder.linear_1.weight": (3072, 768),
    },
    "flux1-schnell": {
        "x_embedder.weight": (3072, 64),
        "single_transformer_blocks.0.attn.norm_q.weight": (128,),
        "time_text_embed.text_embedder.linear_1.weight": (3072, 768),
    },
    "sd35-large": {
        f"{_T0}.attn.add_q_proj.weight": (2432, 2432),
        f"{_T0}.attn.norm_q.weight": (64,),
        "pos_embed.proj.weight": (2432, 16, 2, 2),
    },
    "sd3-medium": {
        f"{_T0}.attn.add_q_proj.weight": (1536, 1536),
        "pos_embed.proj.weight": (1536, 16, 2, 2),
    },
    "sd35-medium": {
        f"{_T0}.attn.add_q_proj.weight": (1536, 1536),
        f"{_T0}.attn2.to_q.weight": (1536, 1536),
        "pos_embed.proj.weight": (1536, 16, 2, 2),
    },
}


@pytest.mark.parametrize("row", DIFFUSERS)
def test_the_names_of_diffusers_are_known_too(path: Path, row: str) -> None:
    found = verdict_of(path, DIFFUSERS[row])
    assert (found.kind, found.family) == ("model", row)


# Reading

GOOD: Final = files.safetensors(SD15, {"a": "b"})


def test_metadata_is_read_beside_the_tensors(path: Path) -> None:
    header = read_header(files.written(path, GOOD))
    assert dict(header.metadata) == {"a": "b"}
    assert dict(header.tensors) == SD15


def test_of_gguf_the_shapes_that_were_folded_are_unfolded(tmp_path: Path) -> None:
    shapes: Shapes = {"input_blocks.0.0.weight": (320, 36)}
    content = files.gguf(
        shapes,
        {
            "general.architecture": "sd1",
            "general.file_type": 7,
            "some.words": ["a", "b"],
            "comfy.gguf.orig_shape.input_blocks.0.0.weight": [320, 4, 3, 3],
            "comfy.gguf.orig_shape.not.there": [1],
            "long.list": list(range(100)),
        },
    )
    header = read_header(files.written(tmp_path / "a.gguf", content))
    assert dict(header.tensors) == {"input_blocks.0.0.weight": (320, 4, 3, 3)}


def _with(header: Any) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


BAD: Final[dict[str, bytes]] = {
    "empty": b"",
    "short": b"\x01\x02",
    "a pickle": b"\x80\x02}q\x00(X\x05\x00\x00\x00" * 9,
    "a zip": b"PK\x03\x04" + bytes(60),
    "cut off": GOOD[:-5],
    "no length": (2**63).to_bytes(8, "little") + b"{}",
    "too large": (HEADER_MAX + 1).to_bytes(8, "little") + bytes(HEADER_MAX + 1),
    "no json": _with(b"{nothing}"),
    "no utf-8": _with(b'{"\xff": 1}'),
    "utf-16": _with("{}".encode("utf-16-le")),
    "a list": _with([]),
    "no object": _with(b'"text"'),
    "deep": _with(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "many": _with(b'{"a":[' + b"1," * 600_001 + b"1]}"),
    "an endless number": _with(b'{"a":{"shape":[' + b"9" * 9000 + b"]}}"),
    "no shape": _with({"a": {"dtype": "F32"}}),
    "a tensor that is none": _with({"a": 5}),
    "a shape that is none": _with({"a": {"shape": "3"}}),
    "a side that is none": _with({"a": {"shape": [1, "2"]}}),
    "a side that is true": _with({"a": {"shape": [True]}}),
    "a side below zero": _with({"a": {"shape": [-1]}}),
    "a broken side": _with({"a": {"shape": [1.5]}}),
    "a side without end": _with({"a": {"shape": [2**60]}}),
    "too many sides": _with({"a": {"shape": [1] * 9}}),
    "gguf, empty": b"GGUF",
    "gguf, old": b"GGUF" + (1).to_bytes(4, "little") + bytes(40),
    "gguf, cut off": files.gguf(SD15, {"general.architecture": "sd1"})[:-3],
    "gguf, many tensors": b"GGUF\x03\0\0\0" + b"\xff" * 8 + bytes(40),
    "gguf, many entries": b"GGUF\x03\0\0\0" + bytes(8) + b"\xff" * 8 + bytes(40),
    "gguf, unknown type": b"GGUF\x03\0\0\0" + bytes(8) + b"\1" + bytes(7 + 8) + b"\x63\0\0\0",
    "gguf, endless text": b"GGUF\x03\0\0\0" + bytes(8) + b"\1" + bytes(7) + b"\xff" * 16,
    "gguf, endless list": (
        b"GGUF\x03\0\0\0" + bytes(8) + b"\1" + bytes(7 + 8) + b"\x09\0\0\0\x08\0\0\0" + b"\xff" * 8
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_hostile_header_is_refused(path: Path, what: str) -> None:
    files.written(path, BAD[what])
    with pytest.raises(HeaderError):
        read_header(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (_with(b'{"a":{"shape":[1],"b":[' + b"1," * 600_001 + b"1]}}"), "too many values"),
        (_with(b'{"a":{"shape":[1],"b":"' + b"1" * HEADER_MAX + b'"}}'), f"more than {HEADER_MAX}"),
        (
            b"GGUF\x03\0\0\0" + bytes(8) + b"\1" + bytes(7 + 8) + b"\x09\0\0\0\x08\0\0\0"
            + (1_000_001).to_bytes(8, "little") + bytes(8 * 1_000_001),
            "too many values",
        ),
        (b"GGUF" + (9).to_bytes(4, "little") + bytes(16), "unknown version 9"),
    ],
)  # fmt: skip
def test_what_is_well_formed_but_beyond_the_bounds_is_refused(
    path: Path, content: bytes, why: str
) -> None:
    files.written(path, content)
    with pytest.raises(HeaderError, match=why):
        read_header(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nothing", ".", "a\0b"):
        with pytest.raises(HeaderError):
            read_header(tmp_path / name)


def test_metadata_that_is_no_text_is_left_out(path: Path) -> None:
    content = _with({"__metadata__": {"a": 1, "b": None, "c": "kept", "d": {"e": "f"}}})
    assert dict(read_header(files.written(path, content)).metadata) == {"c": "kept"}
    content = _with({"__metadata__": ["a"]})
    assert dict(read_header(files.written(path, content)).metadata) == {}


def test_a_value_that_was_read_cannot_be_changed(path: Path) -> None:
    header = read_header(files.written(path, GOOD))
    with pytest.raises(TypeError):
        header.tensors["x"] = (1,)  # type: ignore[index]
    with pytest.raises(TypeError):
        header.metadata["x"] = "y"  # type: ignore[index]


NAMES: Final = sorted(
    {name for shapes in (*ROWS.values(), *FOREIGN.values(), *PARTS.values()) for name in shapes}
)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
SHAPES: Final = st.lists(st.integers(0, 5000), max_size=6).map(tuple)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    for start in (b"", b"GGUF\x03\0\0\0", len(data).to_bytes(8, "little")):
        path = files.written(tmp_path_factory.getbasetemp() / "any", start + data)
        try:
            header = read_header(path)
        except HeaderError:
            continue
        assert isinstance(of_header(header), Verdict)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), JSON))
def test_any_json_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, Any]
) -> None:
    path = files.written(tmp_path_factory.getbasetemp() / "json", _with(header))
    try:
        found = read_header(path)
    except HeaderError:
        return
    assert set(found.tensors) == set(header) - {"__metadata__"}


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), SHAPES, max_size=8))
def test_any_tensors_have_a_verdict(shapes: dict[str, tuple[int, ...]]) -> None:
    found = of_header(Header(shapes))
    assert found.family is None or found.family in FAMILIES or found.family in BASES
