"""The measuring of proposals by files and by what is expected of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.proposals import main

ONE = "image_z_image_turbo.json"


def test_without_a_folder_the_official_templates_are_compared_with_what_is_expected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--only", ONE]) == 0

    told = capsys.readouterr().out.splitlines()
    assert f"right  {ONE}" in told
    assert "wholly right: 1 of 1" in told


def test_a_file_that_is_expected_and_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "expected.json").write_text(json.dumps({"gone.json": {"primary": "9"}}))

    assert main([str(tmp_path)]) == 0

    assert "no such file: gone.json" in capsys.readouterr().out.splitlines()
