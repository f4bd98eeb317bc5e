"""Prefect's observer of cancels, kept alive for as long as the worker lives.

Prefect's own (3.9.1) gives up for good when Prefect has not answered for some minutes, and listens
for the runs of the work pool that it began with, also after Prefect has lost its database and the
pool was made anew. Here it begins again in both cases.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Self
from uuid import UUID

from prefect._internal.observers import FlowRunCancellingObserver, OnCancellingCallback
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter

from core.loop import Loop

POLL_S: Final = 10.0
"""Seconds between two looks at Prefect while its event stream is away."""
_AGAIN_S: Final = 5.0
_log = logging.getLogger(__name__)


class Cancels:
    """Calls ``on_cancelling`` for runs in flight that are to be cancelled.

    Use as an async context manager. ``pool`` returns the filter for events of the worker's pool.
    """

    def __init__(
        self,
        on_cancelling: OnCancellingCallback,
        pool: Callable[[], EventAnyResourceFilter],
        *,
        poll_s: float = POLL_S,
    ) -> None:
        self._on_cancelling = on_cancelling
        self._pool = pool
        self._poll_s = poll_s
        self._in_flight: set[UUID] = set()
        self._observer: FlowRunCancellingObserver | None = None
        self._renewing = Loop(
            "watching for cancels",
            self._renew,
            every_s=None,
            retry_s=_AGAIN_S,
            expected=(Exception,),
        )

    async def __aenter__(self) -> Self:
        self._observer = await self._new_observer()
        self._renewing.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._renewing.stop()
        await self._close()

    def renew(self) -> None:
        """Begin again: the pool is another one, or the observer has given up."""
        self._renewing.wake()

    def add_in_flight_flow_run_id(self, flow_run_id: UUID) -> None:
        """Report a cancel of this run from now on. (Prefect's name for it.)"""
        self._in_flight.add(flow_run_id)
        if self._observer is not None:
            self._observer.add_in_flight_flow_run_id(flow_run_id)

    def remove_in_flight_flow_run_id(self, flow_run_id: UUID) -> None:
        """Report no cancel of this run any more. (Prefect's name for it.)"""
        self._in_flight.discard(flow_run_id)
        if self._observer is not None:
            self._observer.remove_in_flight_flow_run_id(flow_run_id)

    async def _renew(self) -> None:
        await self._close()
        self._observer = await self._new_observer()
        # A new observer looks for cancels of before only if it cannot connect.
        await self._observer._check_for_cancelled_flow_runs()  # type: ignore[no-untyped-call] # noqa: SLF001

    async def _new_observer(self) -> FlowRunCancellingObserver:
        observer = FlowRunCancellingObserver(
            on_cancelling=self._on_cancelling,
            polling_interval=self._poll_s,
            event_filter=EventFilter(
                event=EventNameFilter(name=["prefect.flow-run.Cancelling"]),
                any_resource=self._pool(),
            ),
            on_failure=self._gave_up,
        )
        await observer.__aenter__()  # type: ignore[no-untyped-call]
        for flow_run_id in self._in_flight:
            observer.add_in_flight_flow_run_id(flow_run_id)
        return observer

    def _gave_up(self, flow_run_ids: set[UUID]) -> None:  # noqa: ARG002 - Prefect's signature
        _log.warning("Prefect has not answered for long: watching for cancels begins again")
        self.renew()

    async def _close(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            await observer.__aexit__(None, None, None)
