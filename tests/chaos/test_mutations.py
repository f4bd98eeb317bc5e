"""Without any one of six mechanisms the suite is red: shown on a copy of the source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.harness.processes import REPOSITORY, environment

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
COPIED: Final = (
    *("core", "comfy", "store", "webhooks", "flows", "api", "web", "cli"),
    *("bench", "tests"),
)


@dataclass(frozen=True)
class Mutation:
    """A mechanism taken out: in ``file`` the text ``there`` becomes ``instead``.

    ``also`` are more texts that go with it, of the same file.
    """

    file: str
    there: str
    instead: str
    red: str
    """The tests that must fail without it."""
    also: tuple[str, ...] = ()

    def taken_out_of(self, source: str) -> str:
        """Returns the file without it."""
        spoiled = source.replace(self.there, self.instead)
        for text in self.also:
            spoiled = spoiled.replace(text, "")
        return spoiled


MUTATIONS: Final = {
    "no fence": Mutation(
        "store/generations/rows.py",
        '    generations.c.fence == bindparam("fence"),\n',
        "",
        "tests/store/test_claims.py",
    ),
    "no look first": Mutation(
        "comfy/submission.py",
        "            if not fresh or prompt_id in self._posted:\n",
        "            if False:\n",
        "tests/chaos/test_worker.py::test_killed_and_started_again[submit.after_post]",
    ),
    "no look at the clock when it is sent": Mutation(
        "comfy/submission.py",
        "_Post(before_post, is_sure, not_posted, sent.set)",
        "_Post(before_post, lambda: True, not_posted, sent.set)",
        "tests/chaos/test_worker.py::test_stopped_and_taken_over_and_waked[submit.before_post]",
    ),
    "no atomic rename": Mutation(
        "store/artefacts/files.py",
        '        temporary = f"{path}.{uuid4().hex}{TEMPORARY}"  # two may',
        "        temporary = path  # two may",
        "tests/chaos/test_worker.py::test_killed_and_started_again[save.after_temporary]",
    ),
    "no outbox": Mutation(
        "store/generations/acceptance.py",
        "    insert_dispatches(connection, made, delay_s=start_delay_s)\n",
        "",
        "tests/store/test_acceptance.py",
    ),
    # On SQLite, with its one writer, what is offered is compared in the same transaction already.
    "claim without the compare": Mutation(
        "store/generations/queue.py",
        '    if attempt["holder"] is not None:\n        return None\n',
        "",
        "tests/chaos/test_state_machine.py::test_two_workers_take_one_row_once",
        also=("        attempts.c.holder.is_(None),\n",),
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source, to be spoiled."""
    folder = tmp_path_factory.mktemp("mutated")
    for room in COPIED:
        shutil.copytree(
            REPOSITORY / room, folder / room, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in ("pyproject.toml", "prefect.yaml"):
        shutil.copy(REPOSITORY / file, folder)
    return folder


def run(copy: Path, tests: str) -> subprocess.CompletedProcess[str]:
    """Those tests, on the copy's own source."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", tests]
    return subprocess.run(
        command,
        cwd=copy,
        env={**environment(PYTHONPATH=str(copy)), "EASEL_TEST_POSTGRES_URL": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_is_taken_out_is_there(name: str) -> None:
    mutation = MUTATIONS[name]
    source = (REPOSITORY / mutation.file).read_text(encoding="utf-8")
    for text in (mutation.there, *mutation.also):
        assert source.count(text) == 1


@pytest.mark.long
@pytest.mark.parametrize("name", MUTATIONS)
def test_the_suite_notices(copy: Path, name: str) -> None:
    mutation = MUTATIONS[name]
    file = copy / mutation.file
    source = file.read_text(encoding="utf-8")
    whole = run(copy, mutation.red)
    assert whole.returncode == os.EX_OK, whole.stdout[-3000:]

    file.write_text(mutation.taken_out_of(source), encoding="utf-8")
    try:
        spoiled = run(copy, mutation.red)
    finally:
        file.write_text(source, encoding="utf-8")

    assert spoiled.returncode == pytest.ExitCode.TESTS_FAILED, spoiled.stdout[-3000:]
