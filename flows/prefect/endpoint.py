"""Easel's own endpoint in Prefect's server, seen from outside: takes accounts, tells of the gate.

Only a server that Easel started has it (``server.py``). Everything that it does can be done without
it, by Prefect's own requests: about nine for each generation instead of one or two, and three for
each look at the gate instead of one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import ValidationError

from flows.errors import EndpointMissingError, PrefectUnavailableError
from flows.prefect.accounts import ACCOUNTS, ANSWERS, PATH, Account, Answer
from flows.prefect.gate_places import GATE_PATH, GatePlaces
from flows.prefect.runs import translated

_UNKNOWN: Final = frozenset({404, 405, 422})
"""What a server answers that has no such endpoint, or knows another form of account."""
MISSING_FOR_S: Final = 60.0
"""How long it is taken for granted that a server has none: it may be another one by then."""


class Endpoint:
    """Use from one event loop."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._missing_until = float("-inf")

    @property
    def is_missing(self) -> bool:
        """Whether this server has none, as it said lately."""
        return time.monotonic() < self._missing_until

    def note_missing(self) -> None:
        """This server has none."""
        self._missing_until = time.monotonic() + MISSING_FOR_S

    def look_again(self) -> None:
        """Prefect was away: it may be another server now."""
        self._missing_until = float("-inf")

    async def send(self, accounts: Sequence[Account]) -> tuple[Answer, ...]:
        """Returns the answers, in the accounts' order.

        Raises EndpointMissingError, and PrefectUnavailableError: then they may have arrived.
        """
        content = ACCOUNTS.dump_json(tuple(accounts))
        headers = {"Content-Type": "application/json"}
        answer = await self._ask("POST", PATH, content=content, headers=headers)
        try:
            answers = ANSWERS.validate_json(answer)
        except ValidationError as error:
            raise PrefectUnavailableError(f"Prefect answered nonsense: {error}") from error
        if len(answers) != len(accounts):
            raise PrefectUnavailableError(f"Prefect answered {len(answers)} of {len(accounts)}")
        return answers

    async def places(self, pool: str) -> GatePlaces:
        """Returns what holds back the runs of the work pool of that name.

        Raises EndpointMissingError and PrefectUnavailableError.
        """
        answer = await self._ask("GET", GATE_PATH, params={"pool": pool})
        try:
            return GatePlaces.model_validate_json(answer)
        except ValidationError as error:  # of a proxy, for example, that has a page for every path
            self.note_missing()
            raise EndpointMissingError from error

    async def _ask(self, method: str, path: str, **more: Any) -> bytes:
        async with translated():
            try:
                answer = await self._client.request(method, path, **more)  # type: ignore[arg-type]
            except PrefectHTTPStatusError as error:
                if error.response.status_code not in _UNKNOWN:
                    raise
                self.note_missing()
                raise EndpointMissingError from error
        return answer.content
