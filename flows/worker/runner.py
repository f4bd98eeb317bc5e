"""What the parts of the worker need of Prefect's worker."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Protocol
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun


class Runner(Protocol):
    """Implemented by ``PrefectWorker``."""

    @property
    def client(self) -> PrefectClient:
        """The worker's own client."""
        ...

    @property
    def under_way(self) -> AbstractSet[UUID]:
        """The runs that were taken, or are led, and are not finished."""
        ...

    def watch(self, flow_run_id: UUID) -> None:
        """Hear of a cancel of the run from now on, until ``finish``."""
        ...

    def finish(self, flow_run_id: UUID) -> None:
        """The run is over for this worker."""
        ...

    async def propose_pending(self, flow_run: FlowRun) -> bool:
        """Returns whether Prefect accepted Pending."""
        ...

    async def propose_crashed(self, flow_run: FlowRun, error: BaseException) -> None:
        """Report the run to Prefect as crashed. A failure to report is only logged."""
        ...
