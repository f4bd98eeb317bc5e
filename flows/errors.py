"""What can go wrong between Easel and Prefect.

FlowsError
  PrefectUnavailableError   the Prefect API does not answer now: try again later
  DeploymentMissingError    the deployment is not registered: `easel up` or `prefect deploy`
TakenOver                   another worker does the attempt now; told to nobody either
CancelRequested             the client asked for the end; not an error, and told to nobody
"""

from __future__ import annotations


class FlowsError(Exception):
    """The base of everything this room raises."""


class PrefectUnavailableError(FlowsError):
    """The Prefect API does not answer now."""


class DeploymentMissingError(FlowsError):
    """The deployment is not registered with the Prefect server."""


class TakenOver(Exception):  # noqa: N818 - a signal
    """Another worker does this flow run's attempt now: leave without a word to Prefect."""


class CancelRequested(Exception):  # noqa: N818 - a signal, like KeyboardInterrupt
    """The generation's row says ``cancelling``: stop the work and end as cancelled."""
