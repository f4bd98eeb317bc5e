"""What a file's name tells of its family, where nothing better is known.

Names are people's: a rule is here only where its words mean one family wherever they stand. Two
that contradict each other tell nothing. Words match whole: "turbo" is not in "deturbo".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from comfy.families.models import DIFFUSION_FOLDERS, Trait
from comfy.families.table import FAMILIES, base_of

CONTROL_FOLDERS: Final = ("controlnet", "model_patches")
LORA_FOLDER: Final = "loras"


@dataclass(frozen=True)
class Named:
    """``family`` is a row's name for models, a base for the rest; None where the name tells none.

    ``detail``: the words that told it, for people. ``is_guess``: nothing told it.
    """

    family: str | None = None
    detail: str = ""
    traits: frozenset[Trait] = frozenset()
    is_guess: bool = False


_Rules = tuple[tuple[str, str], ...]

_FOREIGN: Final[_Rules] = (
    ("svdq", "a Nunchaku model, which has a loader of its own"),
    ("bnb-?nf4", "an NF4 model, which has a loader of its own"),
    ("wan-?(2-?[0-9]|video|animate|vace|alpha|fun|s2v|t2v|i2v|ti2v)|wan-[a-z0-9-]*(t2v|i2v)",
     "Wan"),
    ("ltx-?v?(-?video|-?[0-9])?|ltxv", "LTX-Video"),
    ("hunyuan-?video(-?1-?5)?|hyvideo", "HunyuanVideo"),
    ("hunyuan-?3d", "Hunyuan3D"),
    ("hunyuan-?dit", "HunyuanDiT"),
    ("hunyuan-?image-?(2-1-?)?(-?refiner)|hunyuan-?image-?3", "Hunyuan Image refiner or 3"),
    ("svd|svd-?xt|stable-video-diffusion", "Stable Video Diffusion"),
    ("cosmos-(1|predict1)|cosmos-?predict-?2-[a-z0-9-]*(video2world|v2w|i2v)|cosmos-?predict-?2-?5",
     "Cosmos (video)"),
    ("mochi-?(1|preview)", "Mochi"),
    ("ace-?step", "ACE-Step"),
    ("stable-audio", "Stable Audio"),
    ("stable-cascade", "Stable Cascade"),
    ("pixart", "PixArt"),
    ("kandinsky-?[0-9]?[a-z]*", "Kandinsky"),
    ("minimax", "MiniMax"),
    ("omni-?gen-?2?", "OmniGen 2"),
    ("hi-?dream-?(o1|e1)", "HiDream-O1 or -E1"),
    ("qwen-?image-?layered", "Qwen-Image-Layered"),
    ("qwen-?image-?2-[01]", "Qwen-Image 2"),
    ("flux-?3", "Flux.3"),
    ("zeta-?chroma", "Zeta-Chroma"),
    ("z-?image-?(omni|edit)", "Z-Image Omni"),
    ("ovis-?image|ovis", "Ovis"),
    ("longcat", "LongCat-Image"),
    ("kolors", "Kolors"),
    ("seedvr2?", "SeedVR2"),
    ("ideogram-?[0-9]?", "Ideogram"),
    ("x4-upscaler", "the x4 upscaler of SD2"),
    ("lotus-(depth|normal)", "Lotus"),
    ("zero-?123", "Zero123"),
    ("sam-?[23](-1)?", "Segment Anything"),
    ("sdpose", "SDPose"),
    ("yue-?2", "YuE 2"),
    ("uso-[a-z0-9-]*projector", "USO"),
    ("sd-?xs|ssd-1b|segmind", "a small relative of SDXL"),
)  # fmt: skip
"""Words of models that are none of Easel's families, and their title."""
_WITH_CONTROL: Final[_Rules] = (
    ("flux-?1?-?(dev-?)?(canny|depth)(-dev)?", "Flux.1 Canny or Depth"),
)
"""The same, but ControlNets of Flux.1 are called so too."""

_NOOBAI_V: Final = "noob-?(ai|xl)[a-z0-9-]*v-?pred(-?[0-9]+)?|v-?pred[a-z0-9-]*noob-?(ai|xl)"
_SD3: Final = "(sd|stable-diffusion)-?v?3"
_FAMILIES: Final[_Rules] = (
    ("flux-?1-?dev-?kontext|flux-?1?-?kontext", "flux1-kontext"),
    ("flux-?1?-?krea|krea-?1-?dev", "flux1-krea"),
    ("flux-?1?-?(dev-?)?fill", "flux1-fill"),
    ("flux-?1?-?schnell", "flux1-schnell"),
    ("flux-?1-?d(ev)?|flux-?dev", "flux1-dev"),
    ("flux-?2-?klein-?base-?4b|flux-?2-?klein-?4b-?base|klein-?(4b-?base|base-?4b)",
     "flux2-klein-4b-base"),
    ("flux-?2-?klein-?base-?9b|flux-?2-?klein-?9b-?base|klein-?(9b-?base|base-?9b)",
     "flux2-klein-9b-base"),
    ("flux-?2-?klein-?4b|klein-?4b", "flux2-klein-4b"),
    ("flux-?2-?klein-?9b|klein-?9b", "flux2-klein-9b"),
    ("flux-?2-?d(ev)?", "flux2-dev"),
    ("chroma-?(1-?)?radiance", "chroma-radiance"),
    ("chroma-?1|chroma-?(unlocked|hd|2k|flash)", "chroma"),
    ("qwen-?image-?edit-?(plus-?)?2511", "qwen-image-edit-2511"),
    ("qwen-?image-?edit-?(plus|2509)|fire-?red-image-edit", "qwen-image-edit-2509"),
    ("qwen-?image-?edit", "qwen-image-edit"),
    ("qwen-?image", "qwen-image"),
    ("z-?image-?de-?turbo", "z-image"),
    ("z-?image-?turbo", "z-image-turbo"),
    ("z-?image", "z-image"),
    ("krea-?2", "krea2"),
    ("anima-?(base|preview[0-9]*|turbo|unknown)", "anima"),
    ("hi-?dream-?(i1-?)?full", "hidream-full"),
    ("hi-?dream-?(i1-?)?dev", "hidream-dev"),
    ("hi-?dream-?(i1-?)?fast", "hidream-fast"),
    ("neta-?yume|neta-?lumina", "netayume"),
    ("lumina-?(image-?)?2", "lumina2"),
    ("aura-?flow|pony-?(diffusion-?)?v?-?7", "auraflow"),
    ("cosmos-?predict-?2", "cosmos-predict2"),
    ("ernie-?image-?turbo", "ernie-image-turbo"),
    ("ernie-?image", "ernie-image"),
    ("hunyuan-?image-?2-1", "hunyuan-image"),
    (f"{_SD3}-?5-?large-?turbo", "sd35-large-turbo"),
    (f"{_SD3}-?5-?large", "sd35-large"),
    (f"{_SD3}-?5-?medium", "sd35-medium"),
    (f"{_SD3}-?medium", "sd3-medium"),
    ("(sd|stable-diffusion)-?v?2-?[01]|(?<!-)v2-[01]-?(512|768)|768-v-ema|512-(base|inpainting)-ema",
     "sd2"),
    ("(sd|stable-diffusion)-?v?1-?[45]|(?<!-)v1-?[45](-pruned|-inpainting)", "sd15"),
    (_NOOBAI_V, "sdxl-noobai-vpred"),
    ("noob-?ai(-?xl)?|noob-?xl", "sdxl-noobai"),
    ("illustrious(-?xl)?|[a-z]*illustrious", "sdxl-illustrious"),
    ("pony-?(diffusion-?)?(v6-?)?xl|pony-?(diffusion-?)?v6|sdxl-?pony", "sdxl-pony"),
    ("sd-?xl|sdxl-?(base|1-0)?|animagine(-?xl)?", "sdxl"),
)  # fmt: skip
"""Words of models and their families; of two of one base the first counts."""

_CHECKPOINTS: Final = DIFFUSION_FOLDERS[0]
_GUESS: Final = "sd15"
_LOOSELY: Final[_Rules] = (
    ("noobai.*v.?pred", "sdxl-noobai-vpred"),
    ("noobai", "sdxl-noobai"),
    ("illustrious", "sdxl-illustrious"),
    ("pony", "sdxl-pony"),
    ("xl|animagine", "sdxl"),
)
"""For checkpoints: parts of words, as people write them together with others."""

_HYPER: Final = "hyper-?(sd[a-z0-9]*|[1-8]-?steps?)|(xl|v[0-9]+)-?hyper|hyper$"
_STEPS: Final = (
    f"(?<!de-)(turbo|distilled)|lightning|{_HYPER}|lcm|flash|schnell|dmd2?|[1-8]-?steps?"
)
_FINER: Final[_Rules] = (
    ("lcm", "sd15-lcm"),
    ("lcm", "sdxl-lcm"),
    ("lightning", "sdxl-lightning"),
    (_HYPER, "sdxl-hyper"),
    ("(?<!-)sd-?xl-?turbo(-1-0)?", "sdxl-turbo"),
    ("turbo", "sdxl-turbo-merge"),
    (_NOOBAI_V, "sdxl-noobai-vpred"),
    ("noob-?ai(-?xl[a-z]*)?|noob-?xl", "sdxl-noobai"),
    ("[a-z]*illustrious(-?xl)?", "sdxl-illustrious"),
    ("[a-z]*pony[a-z]*", "sdxl-pony"),
    ("turbo", "sd35-large-turbo"),
    ("kontext", "flux1-kontext"),
    ("krea", "flux1-krea"),
    ("base", "flux2-klein-4b-base"),
    ("base", "flux2-klein-9b-base"),
    ("2511", "qwen-image-edit-2511"),
    ("2509|edit-?plus|fire-?red[a-z0-9-]*", "qwen-image-edit-2509"),
    ("edit", "qwen-image-edit"),
    ("(?<!de-)turbo", "z-image-turbo"),
    ("dev", "hidream-dev"),
    ("fast", "hidream-fast"),
    ("neta-?yume|neta-?lumina", "netayume"),
    ("turbo", "ernie-image-turbo"),
)
"""Words that tell families apart whose headers are the same."""

_LORAS: Final[_Rules] = (
    ("sdv?-?1-?5", "sd15"),
    ("sdv?-?2-?1", "sd2"),
    ("sd-?xl|pdxl|ponyxl|illustrious(-?xl)?|noob-?ai(-?xl)?|animagine(-?xl)?", "sdxl"),
    (f"{_SD3}-?5-?large", "sd35-large"),
    (f"{_SD3}-?5-?medium", "sd35-medium"),
    ("flux-?1|flux-?1?-?d(ev)?|flux-?1?-?(schnell|krea|kontext|fill)", "flux1"),
    ("flux-?2-?d(ev)?", "flux2-dev"),
    ("(flux-?2-?)?klein-?(base-?)?4b", "flux2-klein-4b"),
    ("(flux-?2-?)?klein-?(base-?)?9b", "flux2-klein-9b"),
    ("chroma-?1|chroma-?(unlocked|radiance|lora)", "chroma"),
    ("qwen-?image(-?edit)?|qwen-?edit-?(2509|2511)", "qwen-image"),
    ("z-?image(-?turbo)?", "z-image"),
    ("krea-?2", "krea2"),
    ("anima-?(base|preview|turbo)", "anima"),
    ("hi-?dream-?i1", "hidream"),
    ("lumina-?(image-?)?2|neta-?yume|neta-?lumina", "lumina2"),
    ("aura-?flow", "auraflow"),
    ("ernie-?image", "ernie-image"),
    ("hunyuan-?image", "hunyuan-image"),
)
"""Words in names of LoRAs and the base that they mean."""
_CONTROLS: Final[_Rules] = (
    *_LORAS,
    ("sd15s2", "sd15"),
    ("(sai|diffusers|thibaud|kohya|adapter|xinsir|sargezt|kataragi)-xl", "sdxl"),
    ("noob-?ai[a-z0-9-]*", "sdxl"),
    (f"{_SD3}(?!-?5)(-?(medium|controlnet))?", "sd3"),
    ("flux(?!-?[0-9])", "flux1"),
    ("anima[a-z0-9-]*lllite", "anima"),
)
"""The same for ControlNets and model patches."""


def named(folder: str, name: str) -> Named:
    """Returns what a file of a ComfyUI's folder is by its name; never raises."""
    words = _words(name)
    if folder in DIFFUSION_FOLDERS:
        return _model(folder, name, words)
    if folder == LORA_FOLDER:
        traits = _traits(words) & {"few_steps"}
        return _of_base((*_FOREIGN, *_WITH_CONTROL), _LORAS, words, traits)
    if folder in CONTROL_FOLDERS:
        return _of_base(_FOREIGN, _CONTROLS, words, _control_traits(words))
    return Named()


def finer(family: str, name: str) -> tuple[str, str]:
    """Returns which of the families that look like ``family`` a name means, and by which words.

    ``family`` itself and no words if the name means none of them.
    """
    words = _words(name)
    for pattern, row in _FINER:
        if FAMILIES[row].looks_like == family:
            found = _search(pattern, words)
            if found:
                return row, found
    return family, ""


def name_traits(folder: str, name: str) -> frozenset[Trait]:
    """Returns what a name tells besides the family, where a header has told that."""
    words = _words(name)
    if folder in CONTROL_FOLDERS:
        return _control_traits(words)
    return _traits(words) & {"v_prediction", "few_steps"}


def _model(folder: str, name: str, words: str) -> Named:
    title, by = next(_hits((*_FOREIGN, *_WITH_CONTROL), words), ("", ""))
    if title:
        return Named(None, f"{title}, by {_said(by)} in its name")
    traits = _traits(words)
    hits = list(_hits(_FAMILIES, words))
    if hits:
        row, by = hits[0]
        if len({base_of(one) for one, _ in hits}) > 1:
            return Named(None, f"its name says {' and '.join(_said(by) for _, by in hits[:3])}")
        row, _ = finer(row, name)
        return Named(row, f"{_said(by)} in its name", traits)
    return _checkpoint(name, traits) if folder == _CHECKPOINTS else Named()


_OTHERS: Final = re.compile(
    "flux|qwen|z[-_ ]?image|hidream|lumina|auraflow|hunyuan|kolors|pixart", re.IGNORECASE
)
"""What is in the names of merges of other models than Stable Diffusion: these are not guessed."""


def _checkpoint(name: str, traits: frozenset[Trait]) -> Named:
    """As Easel always took them: what is no SDXL model by its name is an SD 1.5 model."""
    lines = [row for pattern, row in _LOOSELY if re.search(pattern, name.lower())]
    if lines:
        parent = FAMILIES[lines[0]].looks_like or lines[0]
        row, _ = finer(parent, name)
        return Named(lines[0] if row == parent else row, "its name", traits)
    if (other := _OTHERS.search(name)) is not None:
        return Named(None, f"{other[0]} in its name, which does not tell what kind of it")
    row, _ = finer(_GUESS, name)
    return Named(row, "a guess: neither its header nor its name is known", traits, is_guess=True)


def _of_base(foreign: _Rules, rules: _Rules, words: str, traits: frozenset[Trait]) -> Named:
    title, by = next(_hits(foreign, words), ("", ""))
    hits = list(_hits(rules, words))
    bases = {base for base, _ in hits}
    if title:
        return Named(None, f"{title}, by {_said(by)} in its name", traits)
    if len(bases) != 1:
        return Named(traits=traits)
    return Named(hits[0][0], f"{_said(hits[0][1])} in its name", traits)


def _hits(rules: _Rules, words: str) -> Iterator[tuple[str, str]]:
    """Returns what the rules that fit say, each with the words that it fits to."""
    for pattern, meaning in rules:
        found = _search(pattern, words)
        if found:
            yield meaning, found


def _search(pattern: str, words: str) -> str:
    """Returns what fits a pattern as whole words, with a version behind them at most."""
    found = re.search(f"(?<![a-z0-9])(?:{pattern})(?=-?v[0-9]|[^a-z0-9]|$)", words)
    return found[0] if found else ""


def _traits(words: str) -> frozenset[Trait]:
    found: set[Trait] = set()
    if _search("inpaint(ing)?", words):
        found.add("inpaint")
    if _search("v-?pred(iction)?(-?[0-9]+)?", words):
        found.add("v_prediction")
    if _search(_STEPS, words):
        found.add("few_steps")
    if _search("refiner", words):
        found.add("refiner")
    return frozenset(found)


def _control_traits(words: str) -> frozenset[Trait]:
    found: set[Trait] = set()
    if _search("union", words):
        found.add("union")
    if _search("inpaint(ing)?", words):
        found.add("inpaint")
    return frozenset(found)


def _said(words: str) -> str:
    return words.replace("/", " ")[:40]


def _words(name: str) -> str:
    """Returns a name's words, in lower case with ``-`` between them, without its ending.

    Words begin where a capital does: ``juggernautXL``, ``v50Lightning``.
    """
    path = name[-_NAME_MAX:].replace("\\", "/")
    stem, dot, ending = path.rpartition(".")
    path = stem if dot and ending.lower() in _ENDINGS else path
    apart = re.sub("(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])", "-", path)
    return re.sub("[^a-z0-9/]+", "-", apart.lower())


_NAME_MAX: Final = 1024
_ENDINGS: Final = frozenset({"safetensors", "sft", "gguf", "ckpt", "pt", "pth", "bin"})
