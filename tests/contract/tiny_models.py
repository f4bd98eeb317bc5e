"""Makes small models of random weights for a real ComfyUI; what they draw is noise.

ComfyUI recognises, loads and samples them as any others: Stable Diffusion 1.5, its inpaint
model, SDXL and its refiner, a LoRA and a ControlNet of the first and the third, an upscale model;
and Anima in parts, whose latents have a time as those of Qwen-Image, Krea 2 and Cosmos do. They
are made from ComfyUI's own classes, by its own Python, into its folder of models:

    PYTHONPATH=$COMFYUI $COMFYUI/venv/bin/python tests/contract/tiny_models.py $COMFYUI/models

They take 7 GB: the text encoders of SDXL have one size only. ``test_operations.py`` uses them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

# ComfyUI and torch have no types here, and its package is called as Easel's own.
torch: Final[Any] = import_module("torch")
Tensors = dict[str, Any]
_SEED: Final = 14
_RANK: Final = 4
_SCALE: Final = 4
_WIDTH: Final = 16


@dataclass(frozen=True)
class Net:
    """A U-Net as ComfyUI's ``supported_models`` tells it apart, with as few layers as that allows.

    ``depth``: the blocks of attention in each layer, down and up; ``layers`` are at each level.
    """

    config: str
    layers: int
    depth: tuple[int, ...]
    depth_up: tuple[int, ...]
    own: tuple[tuple[str, object], ...]

    @property
    def arguments(self) -> dict[str, Any]:
        """What ComfyUI's ``UNetModel`` is made with."""
        levels = len(self.depth) // self.layers
        return {
            "image_size": 32,
            "in_channels": 4,
            "use_spatial_transformer": True,
            "legacy": False,
            "num_res_blocks": [self.layers] * levels,
            "channel_mult": [1] * levels,
            "transformer_depth": list(self.depth),
            "transformer_depth_output": list(self.depth_up),
            "transformer_depth_middle": max(self.depth),
            "num_classes": "sequential" if dict(self.own).get("adm_in_channels") else None,
            **dict(self.own),
        }


SD15: Final = Net(
    "SD15",
    1,
    (1, 1),
    (1, 1, 1, 1),
    (("model_channels", 320), ("num_heads", 8), ("context_dim", 768), ("adm_in_channels", None)),
)
INPAINT: Final = replace(SD15, own=(*SD15.own, ("in_channels", 9)))
SDXL: Final = Net(
    "SDXL",
    2,
    (0, 0, 2, 2, 10, 10),
    (0, 0, 0, 2, 2, 2, 10, 10, 10),
    (
        ("model_channels", 320), ("num_head_channels", 64), ("context_dim", 2048),
        ("adm_in_channels", 2816), ("use_linear_in_transformer", True),
    ),
)  # fmt: skip
REFINER: Final = Net(
    "SDXLRefiner",
    2,
    (0, 0, 4, 4, 4, 4, 0, 0),
    (0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0, 0),
    (
        ("model_channels", 384), ("num_head_channels", 64), ("context_dim", 1280),
        ("adm_in_channels", 2560), ("use_linear_in_transformer", True),
    ),
)  # fmt: skip
CHECKPOINTS: Final = {"sd15": SD15, "sd15-inpaint": INPAINT, "sdxl": SDXL, "refiner": REFINER}
_VAE: Final[dict[str, Any]] = {
    "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
    "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip
_DECODER_WIDTH: Final = 32
"""ComfyUI takes narrow decoders, but no narrow encoders."""


def main(folder: Path) -> None:
    """Write all of them under ComfyUI's folder of models."""
    import_module("comfy.cli_args").args.cpu = True
    torch.manual_seed(_SEED)
    for name, net in CHECKPOINTS.items():
        _save(folder / "checkpoints" / f"tiny-{name}.safetensors", _checkpoint(net))
    for name, net, encoder in (("sd15", SD15, "lora_te"), ("sdxl", SDXL, "lora_te1")):
        _save(folder / "loras" / f"tiny-{name}-lora.safetensors", _lora(net, encoder))
        _save(folder / "controlnet" / f"tiny-{name}-control.safetensors", _controlnet(net))
    _save(folder / "upscale_models" / "tiny-4x.safetensors", _upscaler())
    _save(folder / "diffusion_models" / "tiny-anima.safetensors", _anima())
    _save(folder / "text_encoders" / "tiny-qwen_3_06b.safetensors", _qwen_encoder())
    _save(folder / "vae" / "tiny-qwen_image_vae.safetensors", _qwen_vae())


def _save(path: Path, tensors: Tensors) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = {name: one.to(torch.float16).contiguous() for name, one in tensors.items()}
    import_module("safetensors.torch").save_file(half, str(path))
    print(f"{path}: {path.stat().st_size / 2**20:.0f} MB")


def _random(module: Any) -> Tensors:
    """Returns a module's tensors with weights of a usual size, so that nothing overflows."""
    tensors = module.state_dict().items()
    return {name: _filled(name, one) for name, one in tensors if one.is_floating_point()}


def _filled(name: str, tensor: Any) -> Any:
    if tensor.dim() >= 2:
        fan_in = tensor[0].numel()
        return torch.empty(tensor.shape).normal_(0, fan_in**-0.5)
    return torch.zeros(tensor.shape) if name.endswith("bias") else torch.ones(tensor.shape)


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}{name}": one for name, one in tensors.items()}


def _checkpoint(net: Net) -> Tensors:
    """A U-Net, its text encoders and a VAE, called as in the original files."""
    ldm = import_module("comfy.ldm.modules.diffusionmodules.openaimodel")
    unet = ldm.UNetModel(**net.arguments, out_channels=4, operations=_operations())
    known = getattr(import_module("comfy.supported_models"), net.config)(net.arguments)
    encoders = known.clip_target().clip(device="cpu", dtype=torch.float16, model_options={})
    vae = import_module("comfy.ldm.models.autoencoder").AutoencoderKL(
        ddconfig=_VAE, decoder_ddconfig={**_VAE, "ch": _DECODER_WIDTH}, embed_dim=4
    )
    return {
        **_prefixed("model.diffusion_model.", _random(unet)),
        **known.process_clip_state_dict_for_saving(_random(encoders)),
        **_prefixed("first_stage_model.", _random(vae)),
    }


def _operations() -> Any:
    return import_module("comfy.ops").disable_weight_init


def _controlnet(net: Net) -> Tensors:
    made = import_module("comfy.cldm.cldm").ControlNet(
        **net.arguments, hint_channels=3, operations=_operations()
    )
    return _random(made)


# --- a model in parts


def _anima() -> Tensors:
    """Anima with one block, called as in its file."""
    made = import_module("comfy.ldm.anima.model").Anima(
        max_img_h=240, max_img_w=240, max_frames=128, in_channels=16, out_channels=16,
        patch_spatial=2, patch_temporal=1, model_channels=2048, num_blocks=1, num_heads=16,
        concat_padding_mask=True, crossattn_emb_channels=1024, pos_emb_cls="rope3d",
        use_adaln_lora=True, adaln_lora_dim=256, operations=_operations(),
    )  # fmt: skip
    return _prefixed("net.", _random(made))


def _qwen_encoder() -> Tensors:
    made = import_module("comfy.text_encoders.llama").Qwen3_06B(
        {}, dtype=torch.float16, device="cpu", operations=_operations()
    )
    return _random(made)


def _qwen_vae() -> Tensors:
    """The VAE of Qwen-Image and Wan 2.1, narrower than theirs."""
    made = import_module("comfy.ldm.wan.vae").WanVAE(
        dim=_WIDTH, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
        temperal_downsample=[False, True, True], dropout=0.0,
    )  # fmt: skip
    return _random(made)


# --- a LoRA


def _lora(net: Net, encoder: str) -> Tensors:
    """For an attention of the U-Net and one of the (first) text encoder, called as kohya's."""
    level = next(at for at, depth in enumerate(net.depth) if depth) // net.layers
    block = f"lora_unet_down_blocks_{level}_attentions_0_transformer_blocks_0"
    context = net.arguments["context_dim"]
    layers: Mapping[str, tuple[int, int]] = {
        f"{block}_attn1_to_q": (320, 320),
        f"{block}_attn2_to_k": (320, context),
        f"{block}_attn2_to_v": (320, context),
        f"{encoder}_text_model_encoder_layers_0_self_attn_q_proj": (768, 768),
        f"{encoder}_text_model_encoder_layers_0_mlp_fc1": (3072, 768),
    }
    made: Tensors = {}
    for name, (gives, takes) in layers.items():
        made[f"{name}.lora_up.weight"] = torch.empty(gives, _RANK).normal_(0, 0.5)
        made[f"{name}.lora_down.weight"] = torch.empty(_RANK, takes).normal_(0, takes**-0.5)
        made[f"{name}.alpha"] = torch.tensor(float(_RANK))
    return made


# --- an upscale model


def _upscaler() -> Tensors:
    """Real-ESRGAN's compact one: little is added to the picture, four times as large."""
    shapes = [(_WIDTH, 3, 3, 3), (_WIDTH, _WIDTH, 3, 3), (3 * _SCALE**2, _WIDTH, 3, 3)]
    made: Tensors = {}
    for at, shape in enumerate(shapes):
        made[f"body.{2 * at}.weight"] = torch.empty(shape).normal_(0, 0.02)
        made[f"body.{2 * at}.bias"] = torch.zeros(shape[0])
        if at < len(shapes) - 1:
            made[f"body.{2 * at + 1}.weight"] = torch.full((shape[0],), 0.25)
    return made


if __name__ == "__main__":
    with torch.no_grad():
        main(Path(sys.argv[1]))
