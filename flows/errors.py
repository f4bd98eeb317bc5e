"""What can go wrong between Easel and Prefect.

FlowsError
  PrefectUnavailableError   the Prefect API does not answer now: try again later
  DeploymentMissingError    the deployment is not registered: `easel up` or `prefect deploy`
  ScheduleNotFoundError     there is no such schedule (any more)
  ScheduleTimingError       Prefect's scheduler finds no times for it
  ScheduleRefusedError      Prefect does not accept it
  OtherStoreError           the work pool belongs to another store
  BatchRefusedError         the manifest has rows that cannot be made
  CallbackRefusedError      the callback of a run that was started from Prefect is not stored
  ForeignFlowError          the run's deployment names a flow that is not Easel's
  NotHereError              this worker's ComfyUI lacks what the run needs
  PastError                 the attempt failed so, in a process that is over
  StoppedError              the attempt was stopped in this stage
TakenOver                   run now owned by another worker, or paused; never reported to Prefect
CancelRequested             the client asked for a cancel; not an error, never reported to Prefect
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from core.problems import FieldProblem
from core.uploads import Reference
from core.wording import listed


class FlowsError(Exception):
    """The base of everything this room raises."""


class PrefectUnavailableError(FlowsError):
    """The Prefect API does not answer now."""


class EndpointMissingError(FlowsError):
    """This Prefect server does not have Easel's own endpoint: it is not one that Easel started."""

    def __init__(self) -> None:
        super().__init__("this Prefect server does not have Easel's endpoint")


class DeploymentMissingError(FlowsError):
    """The deployment is not registered with the Prefect server."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Prefect has no deployment {name} yet: a worker registers it")


class ScheduleNotFoundError(FlowsError):
    """There is no such schedule (any more)."""


class ScheduleTimingError(FlowsError):
    """Prefect's scheduler finds no times for the schedule; says why, in a user's words."""


class ScheduleRefusedError(FlowsError):
    """Prefect does not accept the schedule; with Prefect's own words."""


class OtherStoreError(FlowsError):
    """The work pool belongs to another store: this one must not touch its runs."""

    def __init__(self, pool: str, owner: UUID, store: UUID) -> None:
        self.owner = owner
        super().__init__(
            f"the work pool {pool} belongs to another store ({owner}); this one is {store}. Two "
            "stores on one pool would take each other's runs. If the other one is in use, give "
            "this one another Prefect server (EASEL_PREFECT__API_URL). If it is gone, take the "
            f"pool over: `easel up --take-over {owner}`, or `easel worker --take-over {owner}` if "
            "the parts are started one by one. That ends no run: what the other store has waiting "
            "in the pool stays there, unmade, and its worker and API stop using the pool"
        )


class BatchRefusedError(FlowsError):
    """The manifest has rows that cannot be made; ``problems`` names each with its column.

    ``total`` counts those that are not among ``problems`` too: there may be millions.
    """

    def __init__(self, problems: Sequence[FieldProblem], total: int | None = None) -> None:
        self.problems = tuple(problems)
        self.total = len(self.problems) if total is None else total
        super().__init__("; ".join(map(str, self.problems[:3])))


class CallbackRefusedError(FlowsError):
    """The callback of a run that was started from Prefect is not stored."""

    def __init__(self, problem: FieldProblem) -> None:
        super().__init__(str(problem))


class InputGoneError(FlowsError):
    """A file that the request refers to is not there any more: trying again cannot help."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        super().__init__(
            f"the {reference.source} {reference.id[:12]}… is not there any more: it was deleted, "
            "or has expired"
        )


class PaidUnknownError(FlowsError):
    """The prompt calls paid services and may have been posted, and ComfyUI does not have it.

    It is never posted again by itself: a person decides.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        super().__init__(
            f"it calls paid services, by {listed(self.classes)}, and may have been charged: it was "
            "submitted, or was about to be, and ComfyUI does not have it"
        )

    def __reduce__(self) -> tuple[type[PaidUnknownError], tuple[tuple[str, ...]]]:
        return type(self), (self.classes,)


class ForeignFlowError(FlowsError):
    """The run's deployment names a flow that is not one of Easel's: it is not imported."""


class PastError(FlowsError):
    """The attempt failed so, in a process that is over; with the error's own words."""


class StoppedError(FlowsError):
    """The attempt was stopped in this stage: it is not wanted any more, or its worker stops."""

    def __init__(self) -> None:
        super().__init__("the attempt was stopped")


class NotHereError(FlowsError):
    """This worker's ComfyUI lacks these model files or node classes: another one is to take it."""

    def __init__(self, lacked: Sequence[str]) -> None:
        super().__init__(f"this worker's ComfyUI has no {listed(lacked)}")


class TakenOver(Exception):  # noqa: N818 - a signal
    """The flow run is another worker's now, or was paused: leave without reporting to Prefect."""


class CancelRequested(Exception):  # noqa: N818 - a signal, like KeyboardInterrupt
    """The generation's row says ``cancelling``: stop the work and end as cancelled."""
