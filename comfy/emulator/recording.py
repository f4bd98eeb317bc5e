"""Record the node catalogue of a running ComfyUI, without its prose and without its files:

    curl -s http://127.0.0.1:8188/object_info | python -m comfy.emulator.recording 0.33

writes `catalogues/0.33.json.gz`, the same bytes for the same catalogue. What is kept: names, types,
ranges, choices, defaults and flags, in their order. What is left out: tooltips, descriptions, texts
too long to be a value, and the names of the files that happened to be on that machine.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from .models import file_choices

CATALOGUES = Path(__file__).with_name("catalogues")
PROSE = ("description", "output_tooltips", "search_aliases", "price_badge", "essentials_category")
LONGEST_DEFAULT = 200
"""A longer default is a text or a program of somebody's, not a value."""


def stripped(info: dict[str, Any]) -> dict[str, Any]:
    """Returns the body of GET /object_info without what is not kept."""
    return {name: _class(name, entry) for name, entry in info.items()}


def packed(info: dict[str, Any]) -> bytes:
    """Returns a stripped catalogue as gzip, without a time in it."""
    text = json.dumps(info, ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode(), 9, mtime=0)


def _class(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in entry.items() if key not in PROSE}
    groups: dict[str, Any] = _without_prose(entry["input"])
    for group in ("required", "optional"):
        for field, config in (groups.get(group) or {}).items():
            groups[group][field] = _without_files(name, field, config)
    return {**kept, "input": groups}


def _without_files(class_name: str, field: str, config: list[Any]) -> list[Any]:
    also = file_choices(class_name, field, config)
    if also is None:
        return config
    if isinstance(config[0], list):
        return [list(also), *config[1:]]
    options = {key: value for key, value in config[1].items() if key != "default"}
    return [config[0], {**options, "options": list(also)}]


def _without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "" if key == "default" and _is_long(inner) else _without_prose(inner)
            for key, inner in value.items()
            if key != "tooltip"
        }
    return [_without_prose(inner) for inner in value] if isinstance(value, list) else value


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > LONGEST_DEFAULT


def main() -> None:
    """Read a catalogue from standard input, write it under the version that is given."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} VERSION < object_info.json")
    content = packed(stripped(json.load(sys.stdin)))
    path = CATALOGUES / f"{sys.argv[1]}.json.gz"
    path.write_bytes(content)
    print(f"{path}: {len(content)} bytes")


if __name__ == "__main__":
    main()
