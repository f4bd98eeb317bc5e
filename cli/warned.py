"""Warnings: what is made in another way than it was asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from cli.console import console_on


def tell_warnings(warnings: Iterable[Mapping[str, Any]]) -> None:
    """Print on stderr what is made in another way than it was asked for, each once."""
    for line in dict.fromkeys(map(warning_line, warnings)):
        console_on(sys.stderr).print(f"Warning: {line}")


def warning_line(warning: Mapping[str, Any]) -> str:
    """Returns a warning with the place in the request that it is about."""
    place = ".".join(map(str, warning.get("loc", ())))
    return f"{place}: {warning['message']}" if place else str(warning["message"])
