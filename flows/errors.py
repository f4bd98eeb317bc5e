"""What can go wrong between Easel and Prefect.

FlowsError
  PrefectUnavailableError   the Prefect API does not answer now: try again later
  DeploymentMissingError    the deployment is not registered: `easel up` or `prefect deploy`
  ScheduleNotFoundError     there is no such schedule (any more)
  BatchRefusedError         the manifest has rows that cannot be made
TakenOver                   run now owned by another worker, or paused; never reported to Prefect
CancelRequested             the client asked for a cancel; not an error, never reported to Prefect
"""

from __future__ import annotations

from collections.abc import Sequence

from core.problems import FieldProblem


class FlowsError(Exception):
    """The base of everything this room raises."""


class PrefectUnavailableError(FlowsError):
    """The Prefect API does not answer now."""


class DeploymentMissingError(FlowsError):
    """The deployment is not registered with the Prefect server."""


class ScheduleNotFoundError(FlowsError):
    """There is no such schedule (any more)."""


class BatchRefusedError(FlowsError):
    """The manifest has rows that cannot be made; ``problems`` names each with its column.

    ``total`` counts those that are not among ``problems`` too: there may be millions.
    """

    def __init__(self, problems: Sequence[FieldProblem], total: int | None = None) -> None:
        self.problems = tuple(problems)
        self.total = len(self.problems) if total is None else total
        super().__init__("; ".join(map(str, self.problems[:3])))


class TakenOver(Exception):  # noqa: N818 - a signal
    """The flow run is another worker's now, or was paused: leave without reporting to Prefect."""


class CancelRequested(Exception):  # noqa: N818 - a signal, like KeyboardInterrupt
    """The generation's row says ``cancelling``: stop the work and end as cancelled."""
