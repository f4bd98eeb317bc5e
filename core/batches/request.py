"""What a client asks for in bulk: a batch, many generations from one manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.config import JsonValue

from core.batches.columns import COUNT, METADATA_PREFIX, CellError, Columns, nested
from core.batches.manifest import BATCH_NAME_MAX
from core.callbacks.callback import (
    BATCH_ENDS,
    CALLBACK_FIELDS,
    BatchEvents,
    Callback,
    CallbackName,
    callback_of,
    without_url,
)
from core.callbacks.url import CallbackUrl
from core.fields import Seed, Text
from core.invalid import all_of, invalid, invalid_at
from core.requests import DEFAULT_WORKFLOW
from core.stored import Unreadable, read_stored, reason_of
from core.wording import nearest

BATCH_ITEMS_MAX: Final = 20_000
"""The most generations of one batch."""
COUNT_MAX: Final = 1000
"""The most generations of one row."""
IN_FLIGHT_MAX: Final = 64
FAILURE_SHARE_AFTER: Final = 20
"""Minimum ended items before the failure rate is evaluated."""
_TIME: Final = re.compile(r"^([01][0-9]|2[0-3]):[0-5][0-9]$")


def _grid_field(name: str) -> str:
    if name in CALLBACK_FIELDS:
        raise invalid("not_in_a_grid", "is not for a grid: say it in `defaults`, or for the batch")
    if name == "workflow":
        raise invalid("not_in_a_grid", "is not for a grid: a batch has one workflow")
    return name


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path; a folder such as "Europe"
        near = _near_zone(name)
        meant = f"; perhaps {near}" if near is not None else ""
        raise ValueError(f"must be an IANA time zone such as Europe/Berlin{meant}") from None
    return name


def _near_zone(name: str) -> str | None:
    """Returns the time zone whose name, or the name of whose city, is most alike."""
    wanted = name.casefold().replace(" ", "_")
    known = {zone.casefold(): zone for zone in sorted(available_timezones())}
    cities = {zone.rpartition("/")[2]: zone for zone in known}
    if wanted in cities:
        return known[cities[wanted]]
    near = get_close_matches(wanted, [*known, *cities], n=1, cutoff=0.8)
    return known[cities.get(near[0], near[0])] if near else None


def _time_of_day(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise ValueError("must be a time of day such as 07:00")
    return text


Count = Annotated[int, Field(ge=1, le=COUNT_MAX)]
GridField = Annotated[str, AfterValidator(_grid_field)]
TimeOfDay = Annotated[
    str, AfterValidator(_time_of_day), WithJsonSchema({"type": "string", "pattern": _TIME.pattern})
]
Zone = Annotated[Text, Field(max_length=100), AfterValidator(_known_zone)]

_EXAMPLES: Final[list[JsonValue]] = [
    {
        "name": "foxes by style",
        # Without a list or a model: the example is right in every home.
        "defaults": {"prompt": "a {red|silver} fox, {oil on canvas|watercolour}", "steps": 25},
        "grid": {"cfg": [4.5, 6.5], "sampler": ["euler", "dpmpp_2m"]},
        "count": 5,
        "seed": 42,
    },
    {
        "items": [
            {"prompt": "a red fox at dawn", "metadata": {"order": "42"}},
            {"prompt": "a barn owl", "count": 4},
        ],
        "max_in_flight": 4,
        "stop_after_failures": 3,
        "stop_at_failure_share": 0.5,
        "not_after": "06:30",
        "timezone": "Europe/Berlin",
    },
]
_CALLBACK_URL: Final = (
    "Where to `POST` how the batch ended, signed as in Standard Webhooks. It must be on the public "
    "internet, or be allowed by EASEL_WEBHOOKS__ALLOW."
)
_CALLBACK: Final = (
    "The name of a stored callback (`easel webhooks add NAME URL`), which hears how the batch ends."
)
_CALLBACK_EVENTS: Final = (
    "What the callback hears of: the ends of the batch (`batch.succeeded`, `.failed`, "
    "`.cancelled`) unless it is given; `generation.…` are events of its items."
)
_DEFAULTS: Final = "Fields of a request that every item begins with."
_ITEMS: Final = "Rows: fields of a request, and perhaps `count`."
_NO_URL: Final[dict[str, JsonValue]] = {"propertyNames": {"not": {"const": "callback_url"}}}
"""By this Prefect's server refuses a receiver's URL before it stores the run that has it."""
_NamedRow = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "additionalProperties": True, **_NO_URL})
]


class BatchOptions(BaseModel):
    """How a batch is done, whichever rows it has. Every option may be left out.

    The text form (``model_validate_strings``) takes what query parameters say.
    """

    # An error's text goes into logs, and a request may hold the URL of a receiver.
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    name: Annotated[Text, Field(max_length=BATCH_NAME_MAX)] | None = None
    workflow: Annotated[Text, Field(max_length=64)] | None = Field(
        default=None,
        description="The workflow of all items, as `GET /api/v1/workflows` lists it; txt2img, or "
        "that of `defaults`, if null.",
    )
    count: Count = Field(
        default=1, description="Generations of each row that does not say its own `count`."
    )
    seed: Seed = Field(
        default=None,
        description="Wildcards and the items' own seeds follow from it. "
        "Drawn when the batch is accepted if null or -1.",
    )
    vary_seed: bool = Field(
        default=False,
        description="Draw a seed and wildcards for each cell of a `grid`. Otherwise the cells of a "
        "row share them, and differ in what the grid names alone.",
    )
    wildcards: bool = Field(
        default=True,
        description="Expand `{red|blue}` and `__list__` in prompts; false takes prompts literally.",
    )
    max_in_flight: Annotated[int, Field(ge=1, le=IN_FLIGHT_MAX)] = Field(
        default=8, description="Generations of this batch that wait or run at the same time."
    )
    stop_after_failures: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="So many failed generations stop the batch."
    )
    stop_at_failure_share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="This share of failed generations among those that have ended stops the "
        f"batch, once {FAILURE_SHARE_AFTER} have ended.",
    )
    not_after: TimeOfDay | None = Field(
        default=None, description="Time of day, `HH:MM`, after which no more items are started."
    )
    timezone: Zone | None = Field(
        default=None, description="IANA name; whose time `not_after` is. Null: the server's."
    )


StoredOptions = BatchOptions | Unreadable


def read_options(stored: Any) -> StoredOptions:
    """Reads a batch's stored options, which any version may have written."""
    if isinstance(stored, dict) and "vary_seed" not in stored:
        known = {**stored, "vary_seed": True}  # versions without the option drew for each cell
    else:
        known = stored
    try:
        return read_stored(BatchOptions, known)
    except ValidationError as error:
        return Unreadable(stored=stored, reason=reason_of(error))


class CallbackOptions(BatchOptions):
    """How a batch is done, and who hears of it. A receiver can only be named."""

    callback: CallbackName | None = Field(default=None, description=_CALLBACK)
    callback_events: BatchEvents | None = Field(default=None, description=_CALLBACK_EVENTS)

    @model_validator(mode="after")
    def _has_one_callback(self) -> Self:
        _ = self.wanted_callback
        return self

    @property
    def wanted_callback(self) -> Callback | None:
        """The batch's own callback; its items may have others."""
        return callback_of(self.callback, self.callback_events, ends=BATCH_ENDS, url=self._receiver)

    @property
    def _receiver(self) -> str | None:
        return None


class FileOptions(CallbackOptions):
    """What is said of a batch whose rows come from a file: its options, and its callback."""

    callback_url: CallbackUrl | None = Field(default=None, repr=False, description=_CALLBACK_URL)

    @property
    def _receiver(self) -> str | None:
        return self.callback_url


class FlowBatchRequest(CallbackOptions):
    """One request for many generations: each row of a manifest, times the grid, times ``count``.

    Rows are ``items``. Without any, ``defaults`` are the only row. An item's own fields win over
    ``defaults``, and the grid's over both. Prefect shows the parameters of flow runs and schedules:
    callbacks can only be named.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": _EXAMPLES},
        # A client's request is read again, not taken as it is: it may have URLs.
        revalidate_instances="subclass-instances",
    )

    defaults: dict[str, Any] = Field(
        default_factory=dict, description=_DEFAULTS, json_schema_extra=_NO_URL
    )
    items: Annotated[list[_NamedRow], Field(min_length=1, max_length=BATCH_ITEMS_MAX)] | None = (
        Field(default=None, description=_ITEMS)
    )
    combine: Literal["product", "zip"] = Field(
        default="product",
        description="`product`: every value of a list with every value of the others; "
        "`zip`: the first values together, the second ones, …",
    )
    grid: (
        Annotated[dict[GridField, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
        | None
    ) = Field(default=None, description="Lists of values that each row is combined with.")

    @field_validator("grid")
    @classmethod
    def _equally_long(
        cls, grid: dict[str, list[Any]] | None, info: ValidationInfo
    ) -> dict[str, list[Any]] | None:
        lengths = {len(values) for values in (grid or {}).values()}
        if info.data.get("combine") == "zip" and len(lengths) > 1:
            raise ValueError("all lists must be equally long when combine is zip")
        return grid

    @model_validator(mode="before")
    @classmethod
    def _only_names_receivers(cls, fields: Any) -> Any:
        if "callback_url" in cls.model_fields:
            return fields
        return _without_urls(fields) if isinstance(fields, dict) else fields

    @property
    def workflow_name(self) -> Any:
        """The workflow of all items, as it is named: by the batch, its defaults, or by none."""
        named = self.workflow or self.defaults.get("workflow")
        return DEFAULT_WORKFLOW if named is None else named

    def check_names(self, columns: Columns) -> None:
        """Raises ValidationError for a field of the defaults or the grid that there is not."""
        errors = [
            invalid_at((place, name), "extra_forbidden", _no_such(name, columns))
            for place, fields in (("defaults", self.defaults), ("grid", self.grid or {}))
            for name in fields
            if not _is_field(name, place, columns)
        ]
        try:
            nested(self.defaults, columns)
        except CellError as error:
            errors.append(invalid_at(("defaults",), error.code, str(error)))
        if errors:
            raise all_of(errors)

    @property
    def as_stored_before(self) -> Self:
        """Returns a request as it was meant when it was stored.

        Versions without `vary_seed` drew a seed for each cell of a grid, and so stored schedules
        still do.
        """
        if "vary_seed" in self.model_fields_set:
            return self
        return self.model_copy(update={"vary_seed": True})

    @property
    def options(self) -> BatchOptions:
        """Returns the request without its items."""
        return BatchOptions.model_validate(self.model_dump(include=set(BatchOptions.model_fields)))


class BatchRequest(FlowBatchRequest):
    """One request for many generations: each row of a manifest, times the grid, times ``count``.

    Rows are ``items``, or come from a file. Without any, ``defaults`` are the only row. An item's
    own fields win over ``defaults``, and the grid's over both.
    """

    callback_url: CallbackUrl | None = Field(default=None, repr=False, description=_CALLBACK_URL)
    defaults: dict[str, Any] = Field(default_factory=dict, description=_DEFAULTS)
    items: (
        Annotated[list[dict[str, Any]], Field(min_length=1, max_length=BATCH_ITEMS_MAX)] | None
    ) = Field(default=None, description=_ITEMS)

    @classmethod
    def of_file(cls, options: FileOptions) -> Self:
        """Returns the batch whose rows come from a file."""
        return cls.model_validate(options.model_dump(include=set(FileOptions.model_fields)))

    @property
    def _receiver(self) -> str | None:
        return self.callback_url


def _is_field(name: str, place: str, columns: Columns) -> bool:
    """Whether the defaults or the grid (``place``) may have it, as it stands or by its path."""
    if name.startswith(METADATA_PREFIX):
        return place == "defaults" and columns.reader(name) is not None
    return name != COUNT and (name in columns.fields or columns.is_path(name))


def _no_such(name: str, columns: Columns) -> str:
    near = nearest(name, columns.names, what="fields")
    return f"there is no such field in a request; {near}"


def _without_urls(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the batch without any ``callback_url``, of itself or of its rows.

    Raises ValidationError for one that names a receiver.
    """
    known = without_url(batch)
    defaults, items = known.get("defaults"), known.get("items")
    if isinstance(defaults, dict):
        known["defaults"] = without_url(defaults, "defaults")
    if isinstance(items, list):
        known["items"] = [
            without_url(item, "items", number) if isinstance(item, dict) else item
            for number, item in enumerate(items)
        ]
    return known
