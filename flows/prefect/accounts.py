"""Accounts: what a worker tells Easel's own endpoint in Prefect's server of a flow run.

Both sides of it are in this package: ``endpoint.py`` sends accounts, ``private/endpoint/`` writes
them. Every id is chosen by who tells, so that what was told twice is written once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter

from core.text import writable

PATH: Final = "/easel/accounts/1"
"""Under the API's own URL. Another form of an account gets another number: a server that does not
know it answers 404, as one does that is not Easel's."""

StateType = Literal[
    "SCHEDULED",
    "PENDING",
    "RUNNING",
    "PAUSED",
    "CANCELLING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "CRASHED",
]


Text = Annotated[str, AfterValidator(writable)]
"""What other programs may have written, such as an error's words: JSON and databases take it."""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ToldState(_Told):
    """A state of a run, and when it entered it. ``due_at``: for when a SCHEDULED one is."""

    id: UUID
    type: StateType
    name: str
    message: Text | None
    at: datetime
    due_at: datetime | None = None
    untrackable: bool = False
    """Prefect's word: whether its result is none that another run could be traced to."""
    retriable: bool | None = None
    """False: it failed with what no other try would help against."""


class ToldTask(_Told):
    """A task run with all its states until now, of which the first ``known`` were told before."""

    id: UUID
    name: str
    task_key: str
    dynamic_key: str
    flow_run_count: int
    policy: dict[str, Any]
    inputs: tuple[str, ...]
    expected_at: datetime
    known: int
    states: tuple[ToldState, ...]


class ToldLine(_Told):
    """A line of the run's log, or of a task's."""

    id: UUID
    at: datetime
    level: int
    text: Text
    task_run_id: UUID | None = None


class ToldArtifact(_Told):
    """An artifact; told again, it has other ``data``. ``event_id``: of its event."""

    id: UUID
    event_id: UUID
    type: str
    data: Text | float
    description: Text
    is_known: bool = False


class ToldBeat(_Told):
    """A sign that the run goes on."""

    id: UUID
    at: datetime


class WantedRun(_Told):
    """A run to be made, unless there is one of its key. ``is_made``: else it is gone."""

    deployment_id: UUID
    key: str
    name: str
    queue: str
    tags: tuple[str, ...]
    labels: dict[str, str]
    parameters: dict[str, Any]
    flow_version: str | None
    policy: dict[str, Any]
    is_made: bool


class Account(_Told):
    """What is new of a run. ``after``: the state it is in, by what was told before."""

    run_id: UUID
    wanted: WantedRun | None
    after: UUID | None
    is_repeated: bool
    """Whether it, or a part of it, may have arrived before."""
    states: tuple[ToldState, ...]
    tasks: tuple[ToldTask, ...] = ()
    lines: tuple[ToldLine, ...] = ()
    artifacts: tuple[ToldArtifact, ...] = ()
    beats: tuple[ToldBeat, ...] = ()


Verdict = Literal["written", "refused", "gone"]
"""How the run stands after an account. "written": it is as the account says. "refused": it is not,
for somebody gave it another state (perhaps after an account whose answer was lost), or something
limits it that only Prefect itself can heed. "gone": there is no such run."""


class Answer(_Told):
    """The answer to an account. ``run_id``: of the run that has the key, perhaps made before."""

    run_id: UUID
    verdict: Verdict
    why: str = ""


ACCOUNTS: Final = TypeAdapter(tuple[Account, ...])
ANSWERS: Final = TypeAdapter(tuple[Answer, ...])
