"""Contracts with Prefect's private API: what Easel overrides and calls is still there.

Prefect is pinned exactly. When one of these fails after an upgrade, read what changed there.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import flow
from prefect._internal.observers import FlowRunCancellingObserver
from prefect.client.schemas.objects import FlowRun, State
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Cancelling, Pending
from prefect.workers.base import BaseWorker

import flows
from flows.worker.engine import RunningFlow
from flows.worker.events import WAKING_EVENTS
from flows.worker.worker import ComfyWorker


def _own_methods(of: type, base: type) -> list[str]:
    return [
        name for name, value in vars(of).items() if inspect.isfunction(value) and name in dir(base)
    ]


def _parameters(owner: type, name: str) -> list[tuple[str, object]]:
    method = inspect.unwrap(getattr(owner, name))
    return [(p.name, p.kind) for p in inspect.signature(method).parameters.values()]


OVERRIDDEN = [name for name in _own_methods(ComfyWorker, BaseWorker) if not name.startswith("__")]


def test_every_method_of_the_worker_is_called_by_prefect_or_by_easel() -> None:
    # An override whose namesake Prefect renamed would be neither: nothing would call it.
    ours = [name for name, value in vars(ComfyWorker).items() if inspect.isfunction(value)]
    easel = "".join(file.read_text("utf-8") for file in Path(flows.__file__).parent.rglob("*.py"))
    prefect = inspect.getsource(BaseWorker)
    for name in ours:
        caller = prefect if name in OVERRIDDEN else easel
        assert re.search(rf"\.{name}\b", caller) or name.startswith("__"), name


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_the_worker_overrides_with_the_same_parameters(name: str) -> None:
    assert _parameters(ComfyWorker, name) == _parameters(BaseWorker, name)


async def test_the_worker_uses_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EASEL_HOME", str(tmp_path))
    worker = ComfyWorker(work_pool_name="gpu")
    for name in (
        "_exit_stack", "_runs_task_group", "_submitting_flow_run_ids", "_cancelling_observer",
        "_work_pool_name", "_work_pool", "_logger", "is_setup",
    ):  # fmt: skip
        assert hasattr(worker, name), name
    for name in ("limiter", "client", "work_pool"):
        assert isinstance(inspect.getattr_static(BaseWorker, name), property), name
    for name in ("_propose_pending_state", "_propose_crashed_state", "_release_limit_slot"):
        assert callable(getattr(BaseWorker, name)), name


def test_the_observer_of_cancels_takes_what_it_is_given() -> None:
    heard = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.Cancelling"]),
        any_resource=EventAnyResourceFilter(id=["prefect.work-pool.1"]),
    )
    observer = FlowRunCancellingObserver(
        on_cancelling=lambda _: None, polling_interval=10, event_filter=heard
    )
    assert callable(observer.add_in_flight_flow_run_id)
    assert callable(observer.remove_in_flight_flow_run_id)


async def test_the_flow_is_loaded_by_its_dotted_path_and_is_the_very_same() -> None:
    from flows.generate import generate

    loaded: object = await asyncio.to_thread(
        load_flow_from_entrypoint, "flows.generate.generate", use_placeholder_flow=False
    )
    assert loaded is generate


def test_the_worker_is_woken_by_every_way_in_which_a_run_becomes_due() -> None:
    assert "prefect.flow-run.Scheduled" in WAKING_EVENTS
    assert "prefect.flow-run.AwaitingRetry" in WAKING_EVENTS


@pytest.mark.parametrize(("state", "expected"), [(Cancelling(), True), (Pending(), False)])
def test_a_run_whose_start_was_refused_says_that_it_is_to_be_cancelled(
    state: State, expected: bool
) -> None:
    @flow
    async def anything() -> None:
        """Nothing."""

    running = RunningFlow(anything, FlowRun(flow_id=uuid4(), state=state))
    assert running.cancelling is expected
    assert not running.settled
