"""The limit of open files."""

from __future__ import annotations

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource")


def _raised(soft: int, hard: int, wanted: int) -> str:
    """What another process, which has these limits at first, gets, and says that it got."""
    code = (
        "import resource; from core.open_files import raise_limit; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); "
        f"print(raise_limit({wanted}), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "found"),
    [
        (100, 200, 150, "150 150 200"),
        (100, 200, 1_000, "200 200 200"),
        (180, 200, 150, "180 180 200"),
    ],
)
def test_the_soft_limit_is_raised_within_the_hard_one(
    soft: int, hard: int, wanted: int, found: str
) -> None:
    assert _raised(soft, hard, wanted) == found
