"""What any other node gives: values that depend on all its inputs, in the shape that these have.

Each output has the node's key, a hash of all that it depends on. Pictures are those that came in,
visibly changed; where none came in they are painted. Whatever looks like a sampler makes its steps.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from PIL import Image, ImageOps

from .expansion import fields
from .images import is_pictures
from .latents import Plan, decoded, encoded, sampled
from .models import folder_of
from .painting import Recipe, changed, paint
from .values import (
    RATE,
    Clip,
    Inputs,
    Latent,
    Model,
    Pictures,
    Result,
    Run,
    Sound,
    Thing,
    check_memory,
    each,
)

MODELS = ("MODEL", "CLIP", "VAE", "CLIP_VISION", "CONTROL_NET", "UPSCALE_MODEL")
SAMPLED = {"LATENT", "IMAGE", "AUDIO", "VIDEO", "MESH", "VOXEL", "SPLAT", "LORA_MODEL"}
"""What a sampler gives at least one of."""
NO_SAMPLERS = ("AddNoise",)
SIZE = 512
SOUND_SIZE = 64
"""Pictures of latents that are sounds or shapes: nobody sees them, previews aside."""
SECONDS = 2.0
FPS = 24.0
MOST_STEPS = 10_000
LONGEST_SOUND_S = 600.0
LENGTHS = ("length", "num_frames", "frames_number", "frames", "video_frames")


class Anything:
    """One run of one node."""

    def __init__(self, run: Run, inputs: Inputs) -> None:
        self._run = run
        self._key = run.key
        self._inputs = {name.split(".")[-1]: value for name, value in inputs.items()}
        self._given = inputs
        self._values = list(inputs.values())
        self._class = run.node_class

    def result(self) -> Result:
        """Its outputs, after its steps, if it has some."""
        outputs = self._class.output
        latent = self._sampled() if self._is_sampler() else None
        if latent is None and "LATENT" in outputs:
            latent = self._latent()
        names = self._class.output_names
        return Result(
            tuple(
                self._output(slot, kind, names[slot].lower(), latent)
                for slot, kind in enumerate(outputs)
            )
        )

    # ---- what it is ------------------------------------------------------

    def _is_sampler(self) -> bool:
        outputs = set(self._class.output)
        if "SIGMAS" in outputs or not outputs & SAMPLED or self._class.name in NO_SAMPLERS:
            return False
        return self._steps() > 0

    def _steps(self) -> int:
        steps = self._inputs.get("steps")
        if isinstance(steps, int) and not isinstance(steps, bool):
            return min(max(1, steps), MOST_STEPS)
        return max((thing.steps for thing in self._things("SIGMAS")), default=0)

    def _things(self, kind: str | None = None) -> Iterator[Thing]:
        for value in self._values:
            if isinstance(value, Thing) and kind in (None, value.kind):
                yield value

    def _first(self, kind: type[Any]) -> Any:
        return next((value for value in self._values if isinstance(value, kind)), None)

    def _model(self) -> Model | None:
        given = self._inputs.get("model")
        if isinstance(given, Model):
            return given
        return next((thing.model for thing in self._things() if thing.model), None)

    def _text(self, *names: str) -> str:
        for name in names:
            value = self._inputs.get(name)
            if isinstance(value, Thing) and value.text:
                return value.text
        return next((thing.text for thing in self._things() if thing.text), "")

    def _said(self) -> str:
        """The texts among its inputs, one after the other."""
        texts = (
            self._given.get(field.name)
            for field in fields(self._class.inputs, self._given)
            if field.config[0] == "STRING"
        )
        return " ".join(text for text in texts if isinstance(text, str) and text)

    def _pictures(self) -> Pictures:
        for value in self._values:
            if is_pictures(value) and value[0].mode != "L":
                pictures: Pictures = value
                return pictures
        clip: Clip | None = self._first(Clip)
        return clip.pictures if clip else []

    def _masks(self) -> Pictures:
        found = (value for value in self._values if is_pictures(value) and value[0].mode == "L")
        return next(found, [])

    def _number(self, *names: str) -> int | None:
        found = (self._inputs.get(name) for name in names)
        whole = (n for n in found if isinstance(n, int) and not isinstance(n, bool) and n > 0)
        return next(whole, None)

    def _size(self) -> tuple[int, int]:
        width, height = self._number("width"), self._number("height")
        latent: Latent | None = self._first(Latent)
        seen = self._pictures() or self._masks()
        if width and height:
            return width, height
        if latent is not None:
            return latent.width, latent.height
        return seen[0].size if seen else (SIZE, SIZE)

    # ---- what it gives ---------------------------------------------------

    def _sampled(self) -> Latent:
        sigmas = next(self._things("SIGMAS"), None)
        plan = Plan(
            latent=self._latent(),
            model=self._model(),
            text=self._text("positive", "guider", "conditioning") or self._said(),
            negative=self._negative(),
            steps=self._steps(),
            share=sigmas.share if sigmas else 1.0,
            salt=self._key,
        )
        return sampled(self._run, plan)

    def _negative(self) -> str:
        given = self._inputs.get("negative")
        if isinstance(given, Thing):
            return given.text
        return next((thing.negative for thing in self._things() if thing.negative), "")

    def _latent(self) -> Latent:
        wanted = self._inputs.get("latent_image")
        first: Latent | None = wanted if isinstance(wanted, Latent) else self._first(Latent)
        if first is None:
            return self._new_latent()
        if self._is_sampler():
            return first
        more = [value for value in self._values if isinstance(value, Latent)]
        seconds = next((latent.seconds for latent in more if latent.seconds is not None), None)
        model = next((latent.model for latent in more if latent.model), "")
        pictures = tuple(each(first.pictures, lambda picture: changed(picture, self._key)))
        return replace(first, pictures=pictures, seconds=seconds, model=model, key=self._key)

    def _new_latent(self) -> Latent:
        if is_pictures(self._inputs.get("pixels")):
            return encoded(self._run, self._inputs, key=self._key)
        seconds = self._seconds()
        is_seen = self._number("width") or self._pictures()
        width, height = self._size() if is_seen else (SOUND_SIZE, SOUND_SIZE)
        length = self._number(*LENGTHS) or 1
        count = self._number("batch_size") or 1
        check_memory(width, height, count, length)
        return Latent(width, height, count, length=length, seconds=seconds, key=self._key)

    def _seconds(self) -> float | None:
        for name in ("seconds", "duration"):
            value = self._inputs.get(name)
            if isinstance(value, int | float) and value > 0:
                return min(float(value), LONGEST_SOUND_S)
        frames, rate = self._number(*LENGTHS), self._inputs.get("frame_rate")
        if frames and isinstance(rate, int | float) and rate > 0:
            return min(frames / rate, LONGEST_SOUND_S)
        return None

    def _output(self, slot: int, kind: str, name: str, latent: Latent | None) -> Any:
        key = self._key if slot == 0 else hashlib.sha256(f"{self._key}/{slot}".encode()).hexdigest()
        match kind:
            case "LATENT":
                return latent
            case "IMAGE":
                return self._images(key, latent)
            case "MASK":
                return self._mask(key)
            case "AUDIO":
                return self._sound(key, latent)
            case "VIDEO":
                fps = self._inputs.get("fps")
                clip: Clip | None = self._first(Clip)
                rate = float(fps) if isinstance(fps, int | float) else clip.fps if clip else FPS
                return Clip(self._images(key, latent), rate, self._first(Sound))
            case "INT" | "FLOAT" | "BOOLEAN" | "STRING" | "COMBO":
                return self._plain(kind, name, key)
            case "COMFY_MATCHTYPE_V3" | "*":
                return self._passed_on(key)
            case "SIGMAS":
                return self._sigmas(slot, key)
            case _ if kind in MODELS:
                return self._loaded(kind, key)
            case _:
                return self._thing(kind, name, key)

    def _images(self, key: str, latent: Latent | None) -> Pictures:
        latent = latent or self._first(Latent)
        if latent is not None and latent.pictures:
            return decoded(self._run, replace(latent, model=""), None)
        seen = self._pictures()
        if seen:
            return each(seen, lambda picture: changed(picture, key))
        width, height = self._size()
        check_memory(width, height, 1)
        recipe = Recipe(self._said() or self._text(), "", 0, 20, 7.0, "", "", width, height, key)
        return [paint(recipe, 0)]

    def _mask(self, key: str) -> Pictures:
        masks = self._masks()
        if masks:
            return each(masks, lambda mask: changed(mask, key))
        seen = self._pictures() or [Image.new("RGB", self._size(), (127, 127, 127))]
        return each(seen, lambda picture: ImageOps.autocontrast(changed(picture.convert("L"), key)))

    def _sound(self, key: str, latent: Latent | None) -> Sound:
        latent = latent or self._first(Latent)
        before: Sound | None = self._first(Sound)
        known = (
            self._seconds(),
            latent.seconds if latent else None,
            latent.length / FPS if latent and latent.length > 1 else None,
            before.seconds if before else None,
        )
        return Sound(key, next((length for length in known if length), SECONDS))

    def _plain(self, kind: str, name: str, key: str) -> Any:
        if kind == "STRING":
            said = self._said() or self._text()
            return f"{said} [{key[:12]}]".strip()
        if kind == "COMBO":
            return "auto"
        if kind == "BOOLEAN":
            return int(key[:2], 16) % 2 == 0
        if kind == "FLOAT":
            clip: Clip | None = self._first(Clip)
            rate = clip.fps if clip else FPS
            return rate if name in ("fps", "frame_rate") else int(key[:8], 16) / 16**8
        return self._whole(name, key)

    def _whole(self, name: str, key: str) -> int:
        width, height = self._size()
        seen = self._pictures() or self._masks()
        latent: Latent | None = self._first(Latent)
        count = latent.batch_size if latent else len(seen) or 1
        length = self._number(*LENGTHS) or (latent.length if latent else len(seen)) or 1
        known = {"width": width, "height": height, "batch_size": count, "sample_rate": RATE}
        known |= dict.fromkeys((*LENGTHS, "frame_count"), length)
        return known.get(name, self._number(name) or 1 + int(key[:4], 16) % 16)

    def _passed_on(self, key: str) -> Any:
        """The value of the first input that may be of any type."""
        for field in fields(self._class.inputs, self._given):
            if field.config[0] in ("COMFY_MATCHTYPE_V3", "*") and field.name in self._given:
                value = self._given[field.name]
                return each(value, lambda p: changed(p, key)) if is_pictures(value) else value
        return self._thing("*", "", key)

    def _sigmas(self, slot: int, key: str) -> Thing:
        before = next(self._things("SIGMAS"), None)
        text = self._inputs.get("sigmas")
        numbers = re.findall(r"[\d.]+", text) if isinstance(text, str) else ()
        steps = self._steps() or max(1, len(numbers) - 1)
        share = before.share if before else 1.0
        denoise = self._inputs.get("denoise")
        at = self._inputs.get("step")
        if before is not None and isinstance(denoise, int | float):
            at = steps - round(steps * denoise)
        elif isinstance(denoise, int | float):
            share = min(1.0, max(0.0, float(denoise)))
        if before is not None and isinstance(at, int):
            first = min(max(0, at), steps)
            parts = ((first, 1.0), (steps - first, 1 - first / steps if steps else 0.0))
            steps, share = parts[slot % 2][0], share * parts[slot % 2][1]
        return Thing("SIGMAS", key, steps=min(steps, MOST_STEPS), share=share)

    def _loaded(self, kind: str, key: str) -> Model:
        """A model of a file, or another one changed."""
        same = self._inputs.get(kind.lower())
        before = same if isinstance(same, Model) else self._first(Model)
        if before is not None:
            return before.marked(f"{self._class.name}:{key[:12]}")
        files = [
            self._given[field.name]
            for field in fields(self._class.inputs, self._given)
            if folder_of(self._class.name, field.name, field.config) is not None
            and isinstance(self._given.get(field.name), str)
        ]
        name = files[0] if files else f"{self._class.name} {key[:12]}"
        if kind == "MODEL":
            self._run.sampling.load(name)
        return Model(name, (key[:12],))

    def _thing(self, kind: str, name: str, key: str) -> Thing:
        """CONDITIONING, GUIDER, NOISE, MESH and what else there is."""
        same = self._inputs.get(name)
        text = same.text if isinstance(same, Thing) else ""
        return Thing(
            kind,
            key,
            text=text or self._text("positive", "conditioning", "cond1") or self._said(),
            negative=self._negative(),
            model=self._model() or self._first(Model),
        )


def anything(run: Run, inputs: Inputs) -> Result:
    """A node that is not really done."""
    return Anything(run, inputs).result()
