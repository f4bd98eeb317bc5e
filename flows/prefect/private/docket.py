"""The queue of background tasks in Prefect's server, asked less often.

Imported in Easel's own server process only.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from docket import Docket, Worker
from prefect.server.api import background_workers

LOOK_EVERY_S: Final = 2.0
"""Prefect's services run each 5 s at most; what is to be done at once is woken, not looked for."""
HEARTBEAT_S: Final = 30.0
"""Docket's workers report to each other. The server has one, whose report nobody reads."""


class CalmWorker(Worker):
    """Looks for due tasks each 2 s, where Docket does so four times a second; reports seldom.

    Docket's worker also listens, ten times a second, whether a running task is to be cancelled:
    Prefect 3.9.1's server never cancels one. Measured: both were half of what an idle server does.
    """

    def __init__(self, docket: Docket, *args: Any, **kwargs: Any) -> None:
        docket.heartbeat_interval = timedelta(seconds=HEARTBEAT_S)
        kwargs.setdefault("minimum_check_interval", timedelta(seconds=LOOK_EVERY_S))
        kwargs.setdefault("scheduling_resolution", timedelta(seconds=LOOK_EVERY_S))
        super().__init__(docket, *args, **kwargs)

    async def _cancellation_listener(self) -> None:
        session = self._processing_session
        if session is not None:
            session.cancellation_ready.set()
            await session.stopping.wait()


def look_less_often() -> None:
    """Let the server that is started in this process use ``CalmWorker``."""
    background_workers.Worker = CalmWorker  # type: ignore[attr-defined]
