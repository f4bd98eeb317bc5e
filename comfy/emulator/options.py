"""The options of an emulator."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

PreviewMethod = Literal["none", "auto"]


@dataclass(frozen=True)
class EmulatorOptions:
    """Everything that is chosen before an emulator starts.

    Times are in seconds. `port` 0 means any free port. `output_dir` None means a
    temporary folder that is removed when the emulator stops; uploads and temporary
    files go beside `output_dir`, so that a killed emulator leaves nothing elsewhere.
    """

    host: str = "127.0.0.1"
    port: int = 0
    output_dir: Path | None = None
    step_time: float = 0.05
    """Wall time of one sampler step."""
    render_time: float | None = None
    """Wall time of one whole KSampler run with any number of steps; replaces `step_time`."""
    load_time: float = 0.0
    """Wall time of loading a checkpoint other than the loaded one."""
    preview_method: PreviewMethod = "auto"
    """ComfyUI's own default is "none"; new users want to see something."""
    checkpoints: tuple[str, ...] = ("emulator-sd15.safetensors", "emulator-sdxl.safetensors")
    loras: tuple[str, ...] = ("emulator-lora.safetensors",)
    embeddings: tuple[str, ...] = ("emulator-negative",)
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """More model files, by folder, such as `{"vae": ("ae.safetensors",)}`."""
    models_dir: Path | None = None
    """A folder with real files, in one folder for each kind as below ComfyUI's `models`. They are
    all that there is then: no other option names a file."""
    any_model: bool = False
    """Whether every model file is there, whatever its name, so that any workflow runs."""
    templates_dir: Path | None = None
    """A folder with `index.json` and workflows; None: that of the official package if it is
    installed, else there are none, as on a server without a page."""
    history_limit: int = 10_000
    """ComfyUI's own cap; the oldest entry falls out."""
    history_delay: float = 0.003
    """From `execution_success` on the socket to the entry in /history. The gap
    is real (up to 5 ms); here it is always there, so that no client can pass by luck."""
    assets: bool = False
    """As ComfyUI's --enable-assets: each output file has an `id`."""
    comfyui_version: str = "0.33.0"
    """What is emulated follows it, see `Release`; the node classes are those of the newest recorded
    version that is no newer, see `recorded`."""
