"""What the nodes do that save or show: real files, named and listed as ComfyUI does."""

import io
import json
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .folders import save_path
from .shapes import glb, svg
from .sockets import PNG
from .sounds import sound_file
from .values import Clip, Inputs, Picture, Pictures, Result, Run, Sound, Thing
from .videos import VideoFormat, video_file

Runner = Callable[[Run, Inputs], Result]
EXIF_MODEL = 0x0110
EXIF_MAKE = 0x010F
WEBP_METHODS = {"default": 4, "fastest": 0, "slowest": 6}
CODECS = {"av1": "av1", "vp9": "vp9"}


class Saving:
    """Where one node's files go: `save` writes one and notes it."""

    def __init__(self, run: Run, prefix: str, size: tuple[int, int] = (1, 1)) -> None:
        is_temporary = prefix == ""
        self._run = run
        self._kind = "temp" if is_temporary else "output"
        root = run.folders.temp if is_temporary else run.folders.output
        self._where = save_path(root, prefix or f"ComfyUI{run.temp_prefix}", *size)
        self._count = 0
        self.files: list[dict[str, Any]] = []

    def save(self, suffix: str, write: Callable[[Path], None]) -> None:
        """Write a file of that suffix, such as `_.png`, under the next number."""
        name = self._where.name.replace("%batch_num%", str(self._count))
        filename = f"{name}_{self._where.counter + self._count:05}{suffix}"
        write(self._where.folder / filename)
        self._count += 1
        file = {"filename": filename, "subfolder": self._where.subfolder, "type": self._kind}
        self.files.append({**file, "id": str(uuid.uuid4())} if self._run.assets else file)

    def save_bytes(self, suffix: str, content: bytes) -> None:
        """Write a file of that content."""
        self.save(suffix, lambda path: _write(path, content))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def tags(run: Run) -> dict[str, str]:
    """What a saved file says of how it was made: `prompt`, and mostly `workflow`."""
    said = {"prompt": run.graph, **(run.extra_pnginfo or {})}
    return {name: json.dumps(value) for name, value in said.items()}


def _pngs(run: Run, pictures: Pictures, prefix: str, suffix: str, level: int) -> Saving:
    saving = Saving(run, prefix, pictures[0].size)
    chunks = PngInfo()
    for name, text in tags(run).items():
        chunks.add_text(name, text)
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", pnginfo=chunks, compress_level=level)
        saving.save_bytes(suffix, buffer.getvalue())
    return saving


def save_image(run: Run, inputs: Inputs) -> Result:
    """SaveImage."""
    pictures: Pictures = inputs["images"]
    saving = _pngs(run, pictures, inputs["filename_prefix"] or ".", "_.png", 4)
    return Result((pictures,), {"images": saving.files})


def save_image_advanced(run: Run, inputs: Inputs) -> Result:
    """SaveImageAdvanced. Raises ValueError for a format other than PNG."""
    if inputs["format"] != "png":
        raise ValueError(f"the emulator writes no {inputs['format']}")
    pictures: Pictures = inputs["images"]
    saving = _pngs(run, pictures, inputs["filename_prefix"] or ".", ".png", 4)
    return Result((pictures,), {"images": saving.files})


def preview_image(run: Run, inputs: Inputs) -> Result:
    """PreviewImage: a temporary file."""
    pictures: Pictures = inputs["images"]
    return Result((pictures,), {"images": _pngs(run, pictures, "", "_.png", 1).files})


def preview_mask(run: Run, inputs: Inputs) -> Result:
    """MaskPreview."""
    pictures = [mask.convert("RGB") for mask in inputs["mask"]]
    shown = {"images": _pngs(run, pictures, "", "_.png", 1).files}
    return Result((inputs["mask"],), shown)


def compare(run: Run, inputs: Inputs) -> Result:
    """ImageCompare: two lists of temporary files."""
    shown = {}
    for name in ("a", "b"):
        pictures = inputs.get(f"image_{name}")
        files = _pngs(run, pictures, "", "_.png", 1).files if pictures else []
        shown[f"{name}_images"] = files
    return Result((), shown)


def save_image_websocket(run: Run, inputs: Inputs) -> Result:
    """SaveImageWebsocket: full pictures as binary frames, and no other output."""
    pictures: Pictures = inputs["images"]
    for index, picture in enumerate(pictures):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=1)
        run.progress(index, len(pictures), buffer.getvalue(), PNG)
    return Result()


def save_animated_webp(run: Run, inputs: Inputs) -> Result:
    """SaveAnimatedWEBP: one file of all pictures; tags are in its EXIF."""
    pictures: Pictures = inputs["images"]
    exif = Image.Exif()
    said = tags(run)
    exif[EXIF_MODEL] = f"prompt:{said.pop('prompt')}"
    for tag, (name, text) in enumerate(said.items()):
        exif[EXIF_MAKE - tag] = f"{name}:{text}"
    saving = Saving(run, inputs["filename_prefix"] or ".", pictures[0].size)
    saving.save(
        "_.webp",
        lambda path: _animate(
            path,
            "WEBP",
            pictures,
            inputs["fps"],
            lossless=inputs["lossless"],
            quality=inputs["quality"],
            method=min(4, WEBP_METHODS[inputs["method"]]),
            exif=exif,
        ),
    )
    return Result((pictures,), {"images": saving.files, "animated": [True]})


def save_animated_png(run: Run, inputs: Inputs) -> Result:
    """SaveAnimatedPNG: one file of all pictures; tags are in chunks of ComfyUI's own."""
    pictures: Pictures = inputs["images"]
    chunks = PngInfo()
    for name, text in tags(run).items():
        content = name.encode("latin-1") + b"\0" + text.encode("latin-1")
        chunks.add(b"comf", content, after_idat=True)
    saving = Saving(run, inputs["filename_prefix"] or ".", pictures[0].size)
    level = inputs["compress_level"]
    saving.save(
        "_.png",
        lambda path: _animate(
            path, "PNG", pictures, inputs["fps"], pnginfo=chunks, compress_level=level
        ),
    )
    return Result((pictures,), {"images": saving.files, "animated": [True]})


def _animate(path: Path, form: str, pictures: Pictures, fps: float, **options: Any) -> None:
    frame: Picture = pictures[0]
    milliseconds = max(1, round(1000 / fps))
    more = pictures[1:]
    frame.save(path, form, save_all=True, append_images=more, duration=milliseconds, **options)


def save_webm(run: Run, inputs: Inputs) -> Result:
    """SaveWEBM."""
    pictures: Pictures = inputs["images"]
    clip = Clip(pictures, inputs["fps"])
    return Result((pictures,), _video(run, clip, inputs["filename_prefix"], "webm"))


def save_video(run: Run, inputs: Inputs) -> Result:
    """SaveVideo."""
    clip: Clip = inputs["video"]
    wanted = inputs["format"]
    form: VideoFormat = wanted if wanted in ("mkv", "webm") else "mp4"
    return Result((clip,), _video(run, clip, inputs["filename_prefix"], form))


def _video(run: Run, clip: Clip, prefix: str, form: VideoFormat) -> dict[str, Any]:
    content = video_file(clip, form, tags(run))
    saving = Saving(run, prefix or ".", clip.pictures[0].size)
    saving.save_bytes(f"_.{form}", content)
    return {"images": saving.files, "animated": [True]}


def _save_sound(form: str | None) -> Runner:
    """SaveAudio and its kind: in a format, or in the one that the inputs name."""

    def runner(run: Run, inputs: Inputs) -> Result:
        sound: Sound = inputs["audio"]
        kind = form or str(inputs["format"])
        saving = Saving(run, inputs["filename_prefix"] or ".")
        # ComfyUI's newer style of nodes leaves the underscore out.
        suffix = f".{kind}" if run.node_class.is_v3 else f"_.{kind}"
        saving.save_bytes(suffix, sound_file(sound, kind, tags(run)))
        return Result((sound,), {"audio": saving.files})

    return runner


def preview_sound(run: Run, inputs: Inputs) -> Result:
    """PreviewAudio: a temporary file."""
    saving = Saving(run, "")
    suffix = ".flac" if run.node_class.is_v3 else "_.flac"
    saving.save_bytes(suffix, sound_file(inputs["audio"], "flac", tags(run)))
    return Result((inputs["audio"],), {"audio": saving.files})


def save_text(run: Run, inputs: Inputs) -> Result:
    """SaveText."""
    text: str = inputs["text"]
    saving = Saving(run, inputs["filename_prefix"] or ".")
    saving.save_bytes(f".{inputs['format']}", text.encode())
    return Result((text,), {"text": [text], "files": saving.files})


def preview_anything(_: Run, inputs: Inputs) -> Result:
    """PreviewAny: any value as text."""
    value = inputs.get("source")
    text = value if isinstance(value, str) else _described(value)
    return Result((text,), {"text": [text]})


def _described(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, Thing):
        return f"{value.kind} {value.key[:12]}"
    if isinstance(value, list) and value and isinstance(value[0], Image.Image):
        return f"{len(value)} x {value[0].width} x {value[0].height}"
    try:
        return json.dumps(value)
    except TypeError:
        return type(value).__name__


def save_svg(run: Run, inputs: Inputs) -> Result:
    """SaveSVGNode."""
    saving = Saving(run, inputs["filename_prefix"] or ".")
    saving.save_bytes("_.svg", svg(_key(inputs["svg"], run)))
    return Result((inputs["svg"],), {"images": saving.files})


def save_shape(run: Run, inputs: Inputs) -> Result:
    """SaveGLB and its kind."""
    shape = next((inputs[name] for name in ("mesh", "model_3d", "splat") if name in inputs), None)
    saving = Saving(run, inputs["filename_prefix"] or ".")
    saving.save_bytes("_.glb", glb(_key(shape, run), tags(run)))
    values: Iterable[Any] = (shape, *(inputs.get(name) for name in run.node_class.output_names[1:]))
    return Result(tuple(values)[: len(run.node_class.output)], {"3d": saving.files})


def preview_shape(run: Run, inputs: Inputs) -> Result:
    """Preview3D: no file of its own, if the input names one."""
    given = inputs.get("model_file")
    if not isinstance(given, str):
        saving = Saving(run, "")
        saving.save_bytes(".glb", glb(_key(given, run), {}))
        given = f"{saving.files[0]['filename']} [temp]"
    return Result((), {"result": [given, inputs.get("camera_info"), None]})


def _key(value: Any, run: Run) -> str:
    return value.key if isinstance(value, Thing) else run.key


def save_nothing(_: Run, __: Inputs) -> Result:
    """CheckpointSave and its kind: a file that nobody asks for."""
    return Result()


SAVING: dict[str, Runner] = {
    "SaveImage": save_image,
    "SaveImageAdvanced": save_image_advanced,
    "PreviewImage": preview_image,
    "MaskPreview": preview_mask,
    "ImageCompare": compare,
    "SaveImageWebsocket": save_image_websocket,
    "SaveAnimatedWEBP": save_animated_webp,
    "SaveAnimatedPNG": save_animated_png,
    "SaveWEBM": save_webm,
    "SaveVideo": save_video,
    "SaveAudio": _save_sound("flac"),
    "SaveAudioMP3": _save_sound("mp3"),
    "SaveAudioOpus": _save_sound("opus"),
    "SaveAudioAdvanced": _save_sound(None),
    "PreviewAudio": preview_sound,
    "SaveText": save_text,
    "PreviewAny": preview_anything,
    "SaveSVGNode": save_svg,
    "SaveGLB": save_shape,
    "Save3DAdvanced": save_shape,
    "SaveGaussianSplat": save_shape,
    "SavePointCloud": save_shape,
    "Preview3D": preview_shape,
}
