"""Which family a diffusion model is, by the names and shapes of its tensors.

The order and the names are those of comfy/model_detection.py of ComfyUI 0.30 to 0.38, which tells
architectures apart in the same way when it loads a file. Shapes are [out, in]; tests go by ``out``
where they can, since some quantised files pack two numbers into one along ``in``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from comfy.families.tensors import Tensors
from comfy.families.verdict import Verdict, foreign, known

_Judge = Callable[[Tensors, str], Verdict]
"""Takes the tensors and the one by which the group is known."""
_FLUX_KEY: Final = "double_blocks.0.img_attn.norm.key_norm.weight"
_MODULATION: Final = "double_stream_modulation_img.lin.weight"
_FLUX2: Final = {36864: "flux2-dev", 18432: "flux2-klein-4b", 24576: "flux2-klein-9b"}
"""By 6 · hidden size (comfy/ldm/flux/layers.py)."""
_SD3_KEY: Final = "joint_blocks.0.context_block.attn.qkv.weight"


def _is(family: str) -> _Judge:
    return lambda _, key: known("model", family, key)


def _other(title: str) -> _Judge:
    return lambda _, key: foreign("model", title, key)


def _sd3(tensors: Tensors, key: str) -> Verdict:
    hidden = (tensors.size(key, 0) or 0) // 3
    block = "joint_blocks.0.x_block.attn2"
    if tensors.has_any(f"{block}."):
        return known("model", "sd35-medium", block)
    has_norm = tensors.has("joint_blocks.0.context_block.attn.ln_q.weight")
    if hidden == 2432 and has_norm:
        return known("model", "sd35-large", f"{key} of width {hidden}")
    if hidden == 1536 and not has_norm:
        return known("model", "sd3-medium", f"{key} of width {hidden}")
    return foreign("model", "a relative of Stable Diffusion 3", f"{key} of width {hidden}")


def _hunyuan(tensors: Tensors, key: str) -> Verdict:
    if tensors.has_any("vector_in."):
        return foreign("model", "HunyuanVideo", "vector_in")
    if tensors.has("vision_in.proj.0.weight"):
        return foreign("model", "HunyuanVideo 1.5", "vision_in.proj.0.weight")
    shape = tensors.shapes.get("img_in.proj.weight", ())
    if len(shape) == 4:
        if tensors.has_any("guidance_in.", "time_r_in."):
            return known("model", "hunyuan-image", key, "few_steps")
        return known("model", "hunyuan-image", key)
    if shape[2:] == (1, 1, 1):
        return foreign("model", "Hunyuan Image refiner", "img_in.proj.weight")
    return foreign("model", "a relative of Hunyuan", key)


def _flux(tensors: Tensors, key: str) -> Verdict:
    if tensors.has(_MODULATION):
        width = tensors.size(_MODULATION, 0) or 0
        by = f"{_MODULATION} of {width}"
        family = _FLUX2.get(width)
        return known("model", family, by) if family else foreign("model", "a Flux.2", by)
    if tensors.has_any("distilled_guidance_layer."):
        if tensors.has_any("nerf_blocks."):
            return known("model", "chroma-radiance", "nerf_blocks")
        return known("model", "chroma", "distilled_guidance_layer")
    if tensors.has("double_blocks.0.img_mlp.gate_proj.weight"):
        return foreign("model", "Ovis", "double_blocks.0.img_mlp.gate_proj.weight")
    return _flux1(tensors, key, "img_in.weight", "vector_in.", "guidance_in.")


def _flux1(tensors: Tensors, key: str, entry: str, vector: str, guidance: str) -> Verdict:
    """Tells the Flux.1 models apart, in the original's names or in those of diffusers."""
    shape = tensors.shapes.get(entry, ())
    by = f"{entry} of {' × '.join(map(str, shape))}"
    if shape[:1] != (3072,):
        return foreign("model", "a relative of Flux.1", by)
    if not tensors.has_any(guidance):
        if tensors.has_any(vector) and shape == (3072, 64):
            return known("model", "flux1-schnell", f"{key}, without {guidance.rstrip('.')},")
        return foreign("model", "a relative of Flux.1 (LongCat-Image or other)", key)
    channels = shape[1] if len(shape) == 2 else 0
    if channels == 64:
        return known("model", "flux1-dev", by)
    if channels == 384:
        return known("model", "flux1-fill", by)
    return foreign("model", "Flux.1 Canny, Depth or another with control channels", by)


def _lumina(tensors: Tensors, key: str) -> Verdict:
    width = tensors.size(key, 0)
    by = f"{key} of width {width}"
    if tensors.has("clip_text_pooled_proj.0.weight"):
        return foreign("model", "NewBie", "clip_text_pooled_proj.0.weight")
    if width == 2304:
        return known("model", "lumina2", by)
    if width != 3840:
        return foreign("model", "a relative of Lumina 2", by)
    if tensors.has("dec_net.cond_embed.weight"):
        return foreign("model", "Zeta-Chroma", "dec_net.cond_embed.weight")
    if tensors.has("__ming_image__") or not tensors.has("cap_pad_token"):
        return foreign("model", "Ming-Image", by)
    if tensors.has_any("siglip_embedder."):
        return foreign("model", "Z-Image Omni", "siglip_embedder")
    return known("model", "z-image", by)


def _cosmos(tensors: Tensors, key: str) -> Verdict:
    adapter = "llm_adapter.blocks.0.cross_attn.q_proj.weight"
    if tensors.has(adapter):
        return known("model", "anima", adapter)
    entry = "x_embedder.proj.1.weight"
    channels = tensors.size(entry, 1)
    if channels == 68:
        return known("model", "cosmos-predict2", key)
    return foreign("model", "Cosmos Predict2 (video)", f"{entry} of {channels} channels")


def _qwen(tensors: Tensors, key: str) -> Verdict:
    if tensors.size(key, 0) != 3584 or tensors.shapes.get("img_in.weight") != (3072, 64):
        return foreign("model", "a relative of Qwen-Image", key)
    layered = "time_text_embed.addition_t_embedding.weight"
    if tensors.has(layered):
        return foreign("model", "Qwen-Image-Layered", layered)
    if tensors.has("__index_timestep_zero__"):
        return known("model", "qwen-image-edit-2511", "__index_timestep_zero__")
    return known("model", "qwen-image", key)


def _diffusers_flux(tensors: Tensors, key: str) -> Verdict:
    if tensors.has_any("double_stream_modulation_img."):
        return foreign("model", "Flux.2 in the form of diffusers", "double_stream_modulation_img")
    if tensors.has_any("distilled_guidance_layer."):
        return known("model", "chroma", "distilled_guidance_layer")
    embed = "time_text_embed."
    return _flux1(tensors, key, key, f"{embed}text_embedder.", f"{embed}guidance_embedder.")


def _diffusers_sd3(tensors: Tensors, key: str) -> Verdict:
    width = tensors.size(key, 0)
    by = f"{key} of width {width}"
    if tensors.has_any("transformer_blocks.0.attn2."):
        return known("model", "sd35-medium", "transformer_blocks.0.attn2")
    if width == 2432:
        return known("model", "sd35-large", by)
    if width == 1536 and not tensors.has("transformer_blocks.0.attn.norm_q.weight"):
        return known("model", "sd3-medium", by)
    return foreign("model", "a relative of Stable Diffusion 3", by)


_T: Final = "transformer_blocks.0."
_ORDER: Final[tuple[tuple[tuple[str, ...], _Judge], ...]] = (
    (("cond_layer_logits", "latent_conditioners.0.weight"), _other("MiniMax-Music 3")),
    ((_SD3_KEY,), _sd3),
    (("clf.1.weight",), _other("Stable Cascade")),
    (("img2shape.t_embedder.mlp.0.weight",), _other("Trellis 2 (3D)")),
    (("shape2txt.t_embedder.mlp.0.weight",), _other("Trellis 2 (3D)")),
    (("transformer.rotary_pos_emb.inv_freq",), _other("Stable Audio")),
    (("double_layers.0.attn.w1q.weight",), _is("auraflow")),
    (("mlp_t5.0.weight",), _other("HunyuanDiT")),
    (("txt_in.individual_token_refiner.blocks.0.norm1.weight",), _hunyuan),
    ((_FLUX_KEY, "img_in.weight"), _flux),
    ((_FLUX_KEY, "distilled_guidance_layer.norms.0.weight"), _flux),
    ((_FLUX_KEY, "distilled_guidance_layer.0.norms.0.weight"), _flux),
    (("t5_yproj.weight",), _other("Mochi (video)")),
    (("adaln_single.emb.timestep_embedder.linear_1.bias", "pos_embed.proj.bias"),
     _other("PixArt")),
    (("video_patch_proj.weight", "audio_patch_proj.weight"), _other("MiniMax H3 (video)")),
    (("adaln_single.emb.timestep_embedder.linear_1.bias",), _other("LTX-Video")),
    (("genre_embedder.weight",), _other("ACE-Step (audio)")),
    (("t_block.1.weight",), _other("PixArt")),
    (("blocks.block0.blocks.0.block.attn.to_q.0.weight",), _other("Cosmos 1 (video)")),
    (("lq_proj.latent_proj.0.weight",), _other("PiD")),
    (("core.pixel_embedder.proj.weight",), _other("PixelDiT")),
    (("cap_embedder.1.weight", "noise_refiner.0.attention.k_norm.weight"), _lumina),
    (("blocks.0.norm1.linear.weight",), _other("CogVideoX (video)")),
    (("blocks.35.mlp.vid.proj_out.weight",), _other("SeedVR2 (upscaler)")),
    (("blocks.31.mlp.all.proj_in_gate.weight",), _other("SeedVR2 (upscaler)")),
    (("blocks.35.mlp.all.proj_in_gate.weight",), _other("SeedVR2 (upscaler)")),
    (("head.modulation",), _other("Wan (video)")),
    (("latent_in.weight",), _other("Hunyuan3D 2")),
    (("t_embedder.mlp.2.weight", "blocks.0.attn1.k_norm.weight"), _other("Hunyuan3D 2.1")),
    (("cam_out_layer.weight",), _other("TripoSplat (3D)")),
    (("t_embedder1.mlp.0.weight", "x_embedder.proj1.weight"), _other("HiDream-O1")),
    (("fm_modules.vision_model_mot_gen.embeddings.patch_embedding.weight",),
     _other("SenseNova U1.5")),
    (("caption_projection.0.linear.weight",), _is("hidream-full")),
    (("blocks.0.mlp.layer1.weight",), _cosmos),
    (("double_stream_layers.0.img_instruct_attn.processor.img_to_q.weight",), _other("Boogu")),
    (("time_caption_embed.timestep_embedder.linear_1.bias",), _other("OmniGen 2")),
    ((f"{_T}attn.norm_added_q.weight", f"{_T}img_mlp.w1.weight"), _other("Lens")),
    (("txt_in.text_norm.weight", "modulation.1.weight"), _other("Qwen-Image 2.1")),
    (("txt_norm.weight",), _qwen),
    (("embed_image_indicator.weight",), _other("Ideogram 4")),
    (("txtfusion.projector.weight",), _is("krea2")),
    (("visual_embeddings.in_layer.weight",), _other("Kandinsky")),
    (("visual_transformer_blocks.0.cross_attention.key_norm.weight",), _other("Kandinsky")),
    (("encoder.lyric_encoder.layers.0.input_layernorm.weight",), _other("ACE-Step 1.5 (audio)")),
    (("encoder.pan_blocks.1.cv4.conv.weight",), _other("RT-DETR (detection)")),
    (("backbone.embeddings.patch_embeddings.projection.weight",), _other("Depth Anything 3")),
    (("layers.0.mlp.linear_fc2.weight",), _is("ernie-image")),
    (("double_blocks.0.attn.img_attn_qkv.weight",), _other("JoyImage")),
    (("vae2llm.weight", "llm2vae.weight"), _other("YuE 2 (audio)")),
    # The same in the names of diffusers, which ComfyUI converts.
    (("joint_transformer_blocks.0.attn.add_k_proj.weight",), _is("auraflow")),
    (("noise_refiner.0.attention.norm_k.weight",), _is("z-image")),
    (("x_embedder.weight", "single_transformer_blocks.0.attn.norm_q.weight"), _diffusers_flux),
    (("pos_embed.proj.weight", f"{_T}attn.add_q_proj.weight"), _diffusers_sd3),
)  # fmt: skip
"""What is looked for, in this order, and what it means that all of an entry is there."""


def of_diffusion(tensors: Tensors) -> Verdict | None:
    """Returns which family a diffusion model is, None for what is none that is known.

    ``tensors`` are those of the model alone, without a prefix. Not for models with a U-Net.
    """
    if any(name.endswith(".wscales") for name in tensors.shapes):
        return foreign("model", "a Nunchaku model, which has a loader of its own", "wscales")
    for names, judge in _ORDER:
        if tensors.has(*names):
            return judge(tensors, names[0])
    return None
