"""`python -m comfy.emulator`: run an emulator until SIGINT or SIGTERM."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from .emulator import Emulator
from .models import MODEL_FOLDERS
from .options import EmulatorOptions


def options(arguments: list[str]) -> EmulatorOptions:
    """Read the command line; argparse exits with 2 on a wrong one."""
    parser = argparse.ArgumentParser(
        prog="python -m comfy.emulator", description="A ComfyUI that needs no model."
    )
    default = EmulatorOptions()
    add = parser.add_argument
    add("--host", default=default.host)
    add("--port", type=int, default=8188, help="0 means any free port (default: 8188)")
    add("--output-dir", type=Path, help="default: a temporary folder")
    add("--step-time", type=float, default=default.step_time, help="seconds per sampler step")
    add("--render-time", type=float, help="seconds per sampler run, whatever its steps")
    add("--load-time", type=float, default=default.load_time, help="seconds per checkpoint load")
    add("--preview-method", choices=("none", "auto"), default=default.preview_method)
    add("--checkpoint", action="append", help="may be repeated")
    add("--lora", action="append", help="may be repeated")
    add("--model", action="append", type=_model, metavar="FOLDER/NAME", help="may be repeated")
    add("--models-dir", type=Path, help="real model files, in place of the names above")
    add("--any-model", action="store_true", help="every model file is there")
    add("--templates-dir", type=Path, help="default: the official package's, if it is installed")
    add("--history-limit", type=int, default=default.history_limit)
    add("--enable-assets", action="store_true", help="give each output file an id")
    add(
        "--comfyui-version",
        default=default.comfyui_version,
        help="the version to say, and to behave like (default: 0.33.0)",
    )
    given = parser.parse_args(arguments)
    return EmulatorOptions(
        host=given.host,
        port=given.port,
        output_dir=given.output_dir,
        step_time=given.step_time,
        render_time=given.render_time,
        load_time=given.load_time,
        preview_method=given.preview_method,
        checkpoints=tuple(given.checkpoint or default.checkpoints),
        loras=tuple(given.lora or default.loras),
        models=_by_folder(given.model or ()),
        models_dir=given.models_dir,
        any_model=given.any_model,
        templates_dir=given.templates_dir,
        history_limit=given.history_limit,
        assets=given.enable_assets,
        comfyui_version=given.comfyui_version,
    )


def _model(text: str) -> tuple[str, str]:
    folder, _, name = text.partition("/")
    if folder not in MODEL_FOLDERS or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no FOLDER/NAME of a model")
    return folder, name


def _by_folder(models: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for folder, name in models:
        found[folder] = (*found.get(folder, ()), name)
    return found


async def serve(chosen: EmulatorOptions) -> None:
    """Run until a signal."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, ended.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ended.set))
    async with Emulator(chosen) as emulator:
        print(f"ComfyUI emulator at {emulator.url}", flush=True)
        await ended.wait()


def main() -> None:
    """Entry point."""
    try:
        asyncio.run(serve(options(sys.argv[1:])))
    except OSError as error:
        sys.exit(f"cannot start the emulator: {error}")


if __name__ == "__main__":
    main()
