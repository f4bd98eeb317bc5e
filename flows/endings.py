"""How a flow run ends, by the outcome of the attempt that it shows."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import AwaitingRetry, Cancelled, Completed, Failed, Paused

from flows.attempts.attempt import Kept, Outcome, Stopped, Unkept
from flows.attempts.past import ShownAttempt
from flows.captions import caption
from flows.errors import TakenOver
from store.values import Artefact


def state_of(outcome: Outcome) -> State[Any]:
    """Returns the run's last state. Raises TakenOver, and what ended the attempt unforeseen."""
    match outcome:
        case Kept(artefacts):
            return Completed(message=_summary(artefacts))
        case Stopped(reason="release"):
            return AwaitingRetry(message="The worker stopped.")
        case Stopped(reason="pause"):
            return Paused(message="Paused in Prefect.")
        case Stopped():
            return Cancelled(message="Cancelled through Easel.")
        case Unkept(ended, error, is_foreseen):
            if ended.how == "taken_over":
                raise TakenOver(ended.detail) from error
            if ended.how != "failed":
                return Cancelled(message=ended.detail)
            if not is_foreseen:
                raise error
            return Failed(message=ended.detail)


async def goes_on_elsewhere(attempt: ShownAttempt) -> bool:
    """Returns whether it was given back, or taken over: then who takes it next leads the run."""
    if not attempt.is_over:
        return False
    match await attempt.outcome():
        case Stopped(reason="release" | "pause"):
            return True
        case Unkept(ended):
            return ended.how == "taken_over"
    return False


def _summary(artefacts: tuple[Artefact, ...]) -> str:
    kind = "image" if all(each.kind == "image" for each in artefacts) else "output"
    many = f"1 {kind}" if len(artefacts) == 1 else f"{len(artefacts)} {kind}s"
    return f"{many}, {caption(artefacts[0])}"
