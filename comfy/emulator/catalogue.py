"""The node classes an emulator knows: names, inputs, outputs, as ComfyUI 0.33 describes them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .folders import Folders
from .options import EmulatorOptions
from .release import Release
from .tips import Inputs, with_tips

SAMPLERS = [
    "euler",
    "euler_cfg_pp",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "exp_heun_2_x0",
    "exp_heun_2_x0_sde",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "dpmpp_2m",
    "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun",
    "dpmpp_2m_sde_heun_gpu",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu",
    "ddpm",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "res_multistep_cfg_pp",
    "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "sa_solver",
    "sa_solver_pece",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
]
SCHEDULERS = [
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
]
MODEL_FOLDERS = [
    "checkpoints",
    "configs",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "clip_vision",
    "style_models",
    "embeddings",
    "diffusers",
    "vae_approx",
    "controlnet",
    "gligen",
    "upscale_models",
    "latent_upscale_models",
    "custom_nodes",
    "hypernetworks",
    "photomaker",
    "classifiers",
    "model_patches",
    "audio_encoders",
    "background_removal",
    "frame_interpolation",
    "geometry_estimation",
    "optical_flow",
    "detection",
]
V3 = {"deprecated": False, "experimental": False, "api_node": False}
"""What nodes written in ComfyUI's newer way (V3) always say."""
NEWER_V3 = {"dev_only": False, "output_matchtypes": None, "price_badge": None}
NEWER = {"is_input_list": False, "has_intermediate_output": False, "search_aliases": []}
MAX_SIZE = 16384
MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class NodeClass:
    """One node class, as /object_info describes it and validation uses it."""

    name: str
    display_name: str
    category: str
    required: Inputs
    output: tuple[str, ...] = ()
    output_name: tuple[str, ...] | None = None
    output_node: bool = False
    hidden: dict[str, str] = field(default_factory=dict)
    module: str = "nodes"
    is_v3: bool = False

    def info(self, release: Release) -> dict[str, Any]:
        """The value of this class in /object_info."""
        inputs: dict[str, Any] = {"required": self.required}
        if self.hidden:
            inputs["hidden"] = self.hidden
        info = {
            "input": inputs,
            "input_order": {group: list(members) for group, members in inputs.items()},
            "output": list(self.output),
            "output_is_list": [False] * len(self.output),
            "output_name": list(self.output if self.output_name is None else self.output_name),
            "name": self.name,
            "display_name": self.display_name,
            "description": "",
            "python_module": self.module,
            "category": self.category,
            "output_node": self.output_node,
        }
        if release.says_more_of_nodes:
            info |= NEWER | (NEWER_V3 if self.is_v3 else {})
        return info | (V3 if self.is_v3 else {})


class Catalogue:
    """The node classes of one emulator, with its model files as choices."""

    def __init__(self, options: EmulatorOptions, folders: Folders) -> None:
        self._options = options
        self._folders = folders
        self._release = Release.of(options.comfyui_version)

    def classes(self) -> dict[str, NodeClass]:
        """All classes by name; computed on each call, so that uploaded images show at once."""
        nodes = (
            *self._model_nodes(),
            *_latent_nodes(),
            *self._image_nodes(),
            *self._output_nodes(),
        )
        return {node.name: node for node in nodes}

    def object_info(self) -> dict[str, Any]:
        """The body of GET /object_info."""
        return {name: node.info(self._release) for name, node in self.classes().items()}

    def object_info_of(self, name: str) -> dict[str, Any]:
        """The body of GET /object_info/{name}: nothing of an unknown one."""
        node = self.classes().get(name)
        return {} if node is None else {name: node.info(self._release)}

    def models(self, folder: str) -> list[str] | None:
        """The files of a model folder, None if there is no such folder."""
        if folder not in MODEL_FOLDERS:
            return None
        known = {
            "checkpoints": self._options.checkpoints,
            "loras": self._options.loras,
            "embeddings": tuple(f"{name}.safetensors" for name in self._options.embeddings),
        }
        return sorted(known.get(folder, ()))

    def _model_nodes(self) -> Iterable[NodeClass]:
        checkpoints, loras = self.models("checkpoints"), self.models("loras")
        yield NodeClass(
            "CheckpointLoaderSimple",
            "Load Checkpoint",
            "model/loaders",
            with_tips({"ckpt_name": [checkpoints]}),
            ("MODEL", "CLIP", "VAE"),
        )
        yield NodeClass(
            "LoraLoader",
            "Load LoRA (Model and CLIP)",
            "model/loaders",
            with_tips(
                {
                    "model": ["MODEL"],
                    "clip": ["CLIP"],
                    "lora_name": [loras],
                    "strength_model": _number("FLOAT", 1.0, -100.0, 100.0, 0.01),
                    "strength_clip": _number("FLOAT", 1.0, -100.0, 100.0, 0.01),
                }
            ),
            ("MODEL", "CLIP"),
        )
        yield NodeClass(
            "VAELoader", "Load VAE", "model/loaders", {"vae_name": [["pixel_space"]]}, ("VAE",)
        )
        yield NodeClass(
            "UpscaleModelLoader",
            "Load Upscale Model",
            "model/loaders",
            {"model_name": ["COMBO", {"multiselect": False, "options": []}]},
            ("UPSCALE_MODEL",),
            module="comfy_extras.nodes_upscale_model",
            is_v3=True,
        )
        yield NodeClass(
            "CLIPTextEncode",
            "CLIP Text Encode (Prompt)",
            "model/conditioning",
            with_tips(
                {"text": ["STRING", {"multiline": True, "dynamicPrompts": True}], "clip": ["CLIP"]}
            ),
            ("CONDITIONING",),
        )

    def _image_nodes(self) -> Iterable[NodeClass]:
        yield NodeClass(
            "LoadImage",
            "Load Image",
            "image",
            {"image": [_file_names(self._folders.input), {"image_upload": True}]},
            ("IMAGE", "MASK"),
        )
        yield NodeClass(
            "EmptyImage",
            "Empty Image",
            "image",
            {
                "width": _number("INT", 512, 1, MAX_SIZE, 1),
                "height": _number("INT", 512, 1, MAX_SIZE, 1),
                "batch_size": _number("INT", 1, 1, 4096),
                "color": _number("INT", 0, 0, 0xFFFFFF, 1, display="color"),
            },
            ("IMAGE",),
        )
        yield NodeClass(
            "ImageScale",
            "Upscale Image",
            "image/upscaling",
            {"image": ["IMAGE"], **_scaling("lanczos", step=1)},
            ("IMAGE",),
        )
        yield NodeClass(
            "ImageInvert", "Invert Image Colors", "image/color", {"image": ["IMAGE"]}, ("IMAGE",)
        )

    def _output_nodes(self) -> Iterable[NodeClass]:
        hidden = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
        passes_on = self._release.saving_passes_images_on
        output, names = (("IMAGE",), ("images",)) if passes_on else ((), ())
        yield NodeClass(
            "SaveImage",
            "Save Image",
            "image",
            with_tips({"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}),
            output,
            names,
            output_node=True,
            hidden=hidden,
        )
        yield NodeClass(
            "PreviewImage",
            "Preview Image",
            "image",
            {"images": ["IMAGE"]},
            output,
            names,
            output_node=True,
            hidden=hidden,
        )
        yield NodeClass(
            "SaveImageWebsocket",
            "Save Image (Websocket)",
            "image",
            {"images": ["IMAGE"]},
            output_node=True,
            module="custom_nodes.websocket_image_save",
        )


def _latent_nodes() -> Iterable[NodeClass]:
    yield NodeClass(
        "EmptyLatentImage",
        "Empty Latent Image",
        "model/latent",
        with_tips(
            {
                "width": _number("INT", 512, 16, MAX_SIZE, 8),
                "height": _number("INT", 512, 16, MAX_SIZE, 8),
                "batch_size": _number("INT", 1, 1, 4096),
            }
        ),
        ("LATENT",),
    )
    yield _sampler_node()
    yield NodeClass(
        "VAEDecode",
        "VAE Decode",
        "model/latent",
        with_tips({"samples": ["LATENT"], "vae": ["VAE"]}),
        ("IMAGE",),
    )
    yield NodeClass(
        "VAEEncode",
        "VAE Encode",
        "model/latent",
        {"pixels": ["IMAGE"], "vae": ["VAE"]},
        ("LATENT",),
    )
    yield NodeClass(
        "LatentUpscale",
        "Upscale Latent",
        "model/latent",
        {"samples": ["LATENT"], **_scaling("bislerp", step=8)},
        ("LATENT",),
    )


def _sampler_node() -> NodeClass:
    seed = {"default": 0, "min": 0, "max": MAX_SEED, "control_after_generate": True}
    cfg = {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}
    return NodeClass(
        "KSampler",
        "KSampler",
        "model/sampling",
        with_tips(
            {
                "model": ["MODEL"],
                "seed": ["INT", seed],
                "steps": _number("INT", 20, 1, 10000),
                "cfg": ["FLOAT", cfg],
                "sampler_name": [SAMPLERS],
                "scheduler": [SCHEDULERS],
                "positive": ["CONDITIONING"],
                "negative": ["CONDITIONING"],
                "latent_image": ["LATENT"],
                "denoise": _number("FLOAT", 1.0, 0.0, 1.0, 0.01),
            }
        ),
        ("LATENT",),
    )


def _number(
    kind: str, default: float, low: float, high: float, step: float = 0, **more: Any
) -> list[Any]:
    options: dict[str, Any] = {"default": default, "min": low, "max": high}
    if step:
        options["step"] = step
    return [kind, options | more]


def _scaling(best: str, step: int) -> Inputs:
    return {
        "upscale_method": [["nearest-exact", "bilinear", "area", "bicubic", best]],
        "width": _number("INT", 512, 0, MAX_SIZE, step),
        "height": _number("INT", 512, 0, MAX_SIZE, step),
        "crop": [["disabled", "center"]],
    }


def _file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())
