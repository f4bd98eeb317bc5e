"""One suite, two ComfyUIs: the emulator always, a real one when EASEL_TEST_COMFY_URL names it.

A test that asks for ``emulator`` needs its faults or counters and runs on the emulator alone.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from comfy import ComfySession
from comfy.emulator import Emulator, EmulatorOptions
from tests.contract.driving import Driver

REAL_URL = os.environ.get("EASEL_TEST_COMFY_URL")


@dataclass(frozen=True)
class Target:
    url: str
    emulator: Emulator | None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames:
        real = ["real"] if REAL_URL and "emulator" not in metafunc.fixturenames else []
        metafunc.parametrize("target", ["emulator", *real], indirect=True)


@pytest.fixture
def emulator_options(tmp_path: Path) -> EmulatorOptions:
    """How the emulator is started, where it is the target."""
    return EmulatorOptions(step_time=0.005, output_dir=tmp_path / "output")


@pytest.fixture
async def target(
    request: pytest.FixtureRequest, emulator_options: EmulatorOptions
) -> AsyncIterator[Target]:
    if request.param == "real":
        assert REAL_URL is not None
        yield Target(REAL_URL, None)
        return
    async with Emulator(emulator_options) as emulator:
        yield Target(emulator.url, emulator)


@pytest.fixture
def comfy_url(target: Target) -> str:
    return target.url


@pytest.fixture
def emulator(target: Target) -> Emulator:
    assert target.emulator is not None
    return target.emulator


@pytest.fixture
async def session(comfy_url: str) -> AsyncIterator[ComfySession]:
    async with ComfySession(comfy_url, timeout_s=10, settle_s=0.1) as session:
        yield session


@pytest.fixture
async def driver(session: ComfySession) -> Driver:
    return await Driver.on(session)
