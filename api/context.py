"""Everything that the application opened at startup, for itself and for the pages of web."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from api.batches.facade import BatchFacade
from api.deliveries.facade import DeliveryFacade
from api.figures import Figures
from api.generations.facade import Busy, Facade
from api.generations.shared import Followed
from api.models.facade import ModelFacade
from api.schedules.facade import ScheduleFacade
from api.uploads.facade import UploadFacade
from api.workers.facade import WorkerFacade
from api.workflows.facade import WorkflowFacade
from core.settings import Settings
from flows.prefect.runs import FlowRuns


@dataclass(frozen=True)
class Context:
    """One object of each type."""

    facade: Facade
    runs: FlowRuns
    settings: Settings
    busy: Busy
    figures: Figures
    batches: BatchFacade
    schedules: ScheduleFacade
    deliveries: DeliveryFacade
    followed: Followed
    uploads: UploadFacade
    workflows: WorkflowFacade
    models: ModelFacade
    workers: WorkerFacade

    def by_type(self) -> dict[type[Any], Any]:
        """Returns the objects by their types, as ``api.dependencies`` looks them up."""
        parts = [getattr(self, field.name) for field in fields(self)]
        return {type(part): part for part in parts}
