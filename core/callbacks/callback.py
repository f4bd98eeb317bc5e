"""A callback: a receiver, by its URL or by the name of a stored one, and the wanted events."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from core.callbacks.url import CallbackUrl, Receiver
from core.invalid import invalid_at
from core.stored import read_stored

GenerationEvent = Literal[
    "generation.running", "generation.succeeded", "generation.failed", "generation.cancelled"
]
BatchEvent = Literal["batch.running", "batch.succeeded", "batch.failed", "batch.cancelled"]
EventType = Literal[GenerationEvent, BatchEvent]

GENERATION_EVENTS: Final[tuple[GenerationEvent, ...]] = get_args(GenerationEvent)
BATCH_EVENTS: Final[tuple[BatchEvent, ...]] = get_args(BatchEvent)
GENERATION_ENDS: Final = GENERATION_EVENTS[1:]
BATCH_ENDS: Final = BATCH_EVENTS[1:]
CALLBACK_NAME_MAX: Final = 64
RECEIVER_FIELDS: Final = ("callback_url", "callback")
CALLBACK_FIELDS: Final = (*RECEIVER_FIELDS, "callback_events")
_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{CALLBACK_NAME_MAX - 1}}}", re.ASCII)


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must be letters, digits, dots, dashes and underscores, such as shop")
    return name


def _listed(value: Any) -> Any:
    """Returns events as a list; columns of files and query parameters have them in one text."""
    return re.split(r"[,;\s]+", value) if isinstance(value, str) else value


CallbackName = Annotated[
    str,
    Field(min_length=1, max_length=CALLBACK_NAME_MAX),
    AfterValidator(_named),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"}),
]


class Callback(BaseModel):
    """Where to send which events: to ``url``, or to the stored callback called ``name``.

    The URL may hold a secret: it is shown nowhere but by its ``host``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    url: CallbackUrl | None = Field(default=None, repr=False)
    name: str | None = None
    events: tuple[EventType, ...]

    @property
    def host(self) -> str | None:
        """The receiver's host, None for a stored callback."""
        return Receiver.of(self.url).shown if self.url is not None else None


def read_callback(stored: Any) -> Callback | None:
    """Reads a stored callback; None without one, or if this version cannot read it."""
    if stored is None:
        return None
    try:
        return read_stored(Callback, stored)
    except ValidationError:
        return None


def callback_of(
    name: str | None,
    events: Sequence[EventType] | None,
    *,
    ends: Sequence[EventType],
    url: str | None = None,
) -> Callback | None:
    """Returns the callback that a request's fields ask for; ``ends`` are sent if it names none.

    Raises ValidationError, at the field at fault, for fields that contradict each other.
    """
    if url is not None and name is not None:
        raise invalid_at(
            ("callback",),
            "value_error",
            "say either callback_url or callback, the name of a stored one",
        )
    if url is None and name is None:
        if events is not None:
            raise invalid_at(
                ("callback_events",), "value_error", "needs a callback to send them to"
            )
        return None
    wanted = ends if events is None else events
    return Callback(url=url, name=name, events=tuple(dict.fromkeys(wanted)))


def without_url(fields: Mapping[str, Any], *place: str | int) -> dict[str, Any]:
    """Returns the fields without a ``callback_url`` that is null.

    Raises ValidationError, at ``place``, for one that names a receiver: the fields are those of
    schedules and flow runs, which Prefect shows with all that they are given.
    """
    if fields.get("callback_url") is not None:
        raise invalid_at(
            (*place, "callback_url"),
            "callback_url_here",
            "is not taken here, since Prefect shows it: store it with "
            "`easel webhooks add NAME URL`, and say callback: NAME",
        )
    return {name: value for name, value in fields.items() if name != "callback_url"}


GenerationEvents = Annotated[
    list[GenerationEvent],
    BeforeValidator(_listed),
    Field(min_length=1, max_length=len(GENERATION_EVENTS)),
]
BatchEvents = Annotated[
    list[EventType],
    BeforeValidator(_listed),
    Field(min_length=1, max_length=len(GENERATION_EVENTS) + len(BATCH_EVENTS)),
]
