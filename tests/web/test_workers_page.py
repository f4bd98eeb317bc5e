"""The page of workers, without a browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nicegui.testing import User

from api.context import Context
from api.workers.documents import WorkerDocument
from store.values import WorkerRecord
from tests.web.visiting import PATIENT
from web.workers.wording import about_words, state_words, work_words

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FLUX = "flux1-dev.safetensors"
BUSY = WorkerDocument(
    name="gpu-1",
    comfyui_version="0.33.0",
    reachable=True,
    detail=None,
    seen_at=NOW,
    last_model=FLUX,
    running=2,
    waiting=1_200,
    seconds_per_cost=0.25,
)


async def test_without_a_worker_it_says_what_to_do(user: User) -> None:
    await user.open("/workers")
    await user.should_see("No worker yet", retries=PATIENT)
    await user.should_see("easel worker")


async def test_each_worker_is_shown_and_followed(user: User, context: Context) -> None:
    now = datetime.now(UTC)
    record = WorkerRecord("gpu-1", "http://gpu:8188", False, "connection refused", now, now)
    await user.open("/workers")
    await context.facade.store.registry.record_worker(record)
    await user.should_see("gpu-1", retries=PATIENT)
    await user.should_see("Away: connection refused", retries=PATIENT)


def test_a_busy_one_in_words() -> None:
    assert state_words(BUSY, NOW) == "Ready"
    assert work_words(BUSY) == "2 in progress · 1,200 queued that it can do"
    assert about_words(BUSY) == (
        f"ComfyUI 0.33.0 · last used {FLUX} · 5.0 s for a megapixel in 20 steps"
    )


def test_one_of_which_little_is_known_in_words() -> None:
    away = BUSY.model_copy(
        update={
            "reachable": False,
            "detail": "it was stopped",
            "running": 0,
            "waiting": 0,
            "comfyui_version": None,
            "last_model": None,
            "seconds_per_cost": None,
        }
    )
    later = NOW + timedelta(hours=2)
    assert state_words(away, later).startswith("Away: it was stopped, ")
    assert work_words(away) == ""
    assert work_words(away.model_copy(update={"reachable": True})) == "Nothing to do"
    assert about_words(away) == "ComfyUI"
