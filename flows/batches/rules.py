"""What a batch does next: the rules, pure. ``bulk.py`` carries them out."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.batches.request import FAILURE_SHARE_AFTER, BatchOptions, StoredOptions
from core.problems import Problem, problem, unreadable
from core.status import BatchStatus
from core.stored import Unreadable
from store.values import Batch, BatchCounts, Waiting


@dataclass(frozen=True)
class Release:
    """Release this many more of its items as generations."""

    most: int


@dataclass(frozen=True)
class Pause:
    """Release nothing more until it is resumed."""

    waiting: Waiting


@dataclass(frozen=True)
class Finish:
    """The batch has ended."""

    to: BatchStatus
    problem: Problem | None = None


@dataclass(frozen=True)
class Wait:
    """Nothing to do until something changes."""


@dataclass(frozen=True)
class Leave:
    """The batch was ended, or is being ended, from outside its flow run."""


Step = Release | Pause | Finish | Wait | Leave


def next_step(batch: Batch, counts: BatchCounts, now: datetime) -> Step:
    """Returns what the batch's flow run is to do, judged by the rows."""
    if batch.status not in ("running", "paused"):
        return Leave()
    if isinstance(batch.options, Unreadable):
        unknown = unreadable("the options of this batch", batch.options)
        return Wait() if counts.active else Finish("failed", unknown)
    failures = too_many_failures(batch.options, counts)
    if failures is not None:
        return Wait() if counts.active else Finish("failed", failures)
    if counts.waiting == 0:
        return Wait() if counts.active else _end(counts)
    if batch.status == "paused":
        return Wait()
    if batch.window_ends_at is not None and batch.window_ends_at <= now:
        return Pause(_outside_window(batch.options))
    room = batch.options.max_in_flight - counts.active
    return Release(room) if room > 0 else Wait()


def too_many_failures(options: BatchOptions, counts: BatchCounts) -> Problem | None:
    """Returns why the batch stops itself; None if it does not."""
    most, share = options.stop_after_failures, options.stop_at_failure_share
    if most is not None and counts.failed >= most:
        return _too_many(f"{_generations(counts.failed)} failed, and it stops after {most}")
    if share is None or counts.ended < FAILURE_SHARE_AFTER:
        return None
    if counts.failed / counts.ended >= share:
        return _too_many(
            f"{counts.failed} of {_generations(counts.ended)} failed, and it stops at {share:.0%}"
        )
    return None


def window_end(options: StoredOptions, now: datetime) -> datetime | None:
    """Returns the first moment after ``now`` with local time ``not_after``; None without one."""
    if isinstance(options, Unreadable) or options.not_after is None:
        return None
    clock = time.fromisoformat(options.not_after)
    zone = ZoneInfo(options.timezone) if options.timezone is not None else None
    today = now.astimezone(zone).date()
    days = (today + timedelta(days=ahead) for ahead in (-1, 0, 1, 2))
    ends = (end for day in days for end in _moments(datetime.combine(day, clock), zone))
    return min(end for end in ends if end > now)


def _moments(local: datetime, zone: ZoneInfo | None) -> tuple[datetime, ...]:
    """Returns when the clocks show a local time: twice when they are set back.

    When they are set forward past it, returns the moment at which that happens.
    """

    def shown(at: datetime) -> datetime:
        return at.astimezone(zone).replace(tzinfo=None, fold=0)

    folds = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    found = sorted(set(folds))
    real = tuple(at for at in found if shown(at) == local)
    if real:
        return real
    first, last = found[0], found[-1]
    seconds = range(round((last - first).total_seconds()))
    passed = bisect_left(
        seconds, True, key=lambda after: shown(first + timedelta(seconds=after)) >= local
    )
    return (first + timedelta(seconds=passed),)


def _outside_window(options: BatchOptions) -> Waiting:
    where = options.timezone or "this machine's time"
    return Waiting(
        "outside_window",
        f"It stopped starting at {options.not_after} ({where}). Resume it to generate the rest.",
    )


def _too_many(why: str) -> Problem:
    return problem(
        "too_many_failures",
        f"{why}. Check why, then retry the batch: it generates only what is missing.",
    )


def _end(counts: BatchCounts) -> Finish:
    said = [f"{counts.failed} failed"] if counts.failed else []
    if counts.cancelled:
        said.append(f"{counts.cancelled} {'was' if counts.cancelled == 1 else 'were'} cancelled")
    if not said:
        return Finish("succeeded")
    of_all = f"Of {_generations(counts.ended)}, {' and '.join(said)}."
    return Finish("failed", problem("batch_incomplete", of_all))


def _generations(number: int) -> str:
    return "1 generation" if number == 1 else f"{number} generations"
