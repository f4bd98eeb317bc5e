"""What ``prefect.yaml`` declares, and the queues of its work pool: read without Prefect's flows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

QUEUES: Final = {"batches": 1, "interactive": 2, "bulk": 3}
"""Work queues by priority, 1 first: nothing in ``bulk`` starts while ``interactive`` has work.

The runs in ``batches`` need no slot at the GPU; they come first so that they are always found.
"""


def read_deployments() -> list[dict[str, Any]]:
    """The deployments of ``prefect.yaml``."""
    document = yaml.safe_load(_file().read_text(encoding="utf-8"))
    deployments: list[dict[str, Any]] = document["deployments"]
    return deployments


def default_pool() -> str:
    """The work pool that the first deployment names."""
    name: str = read_deployments()[0]["work_pool"]["name"]
    return name


def _file() -> Path:
    """In an installed package the file lies next to this package, in a checkout at the top."""
    beside = Path(__file__).parents[1] / "prefect.yaml"
    return beside if beside.exists() else Path(__file__).parents[2] / "prefect.yaml"
