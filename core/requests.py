"""What a client asks for, before and after every default is resolved."""

from __future__ import annotations

import secrets
import unicodedata
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from core.callbacks.callback import (
    GENERATION_ENDS,
    Callback,
    CallbackName,
    GenerationEvents,
    callback_of,
    without_url,
)
from core.callbacks.url import CallbackUrl
from core.invalid import invalid
from core.stored import Unreadable, read_stored, reason_of

SEED_MAX: Final = 2**53 - 1
"""Exact in every JSON client (IEEE doubles) and every database; ComfyUI itself takes 2**64 - 1."""
SEED_RANGE: Final = f"must be 0 … {SEED_MAX}; −1 or none draws one"
SIZE_STEP: Final = 8
SIZE_MIN: Final = 64
SIZE_MAX: Final = 4096
PIXELS_MAX: Final = 4096 * 4096 * 2
"""The most pixels of one generation: width x height x batch_size."""
STEPS_MAX: Final = 150
CFG_MAX: Final = 30.0
BATCH_SIZE_MAX: Final = 16
PROMPT_MAX: Final = 10_000
METADATA_KEYS_MAX: Final = 50
METADATA_KEY_MAX: Final = 100
METADATA_TEXT_MAX: Final = 500
TIMEOUT_MAX_S: Final = 86_400

_INVISIBLE_KINDS: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Unicode's categories of control and format characters, and of blanks."""
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0\ufe0e\ufe0f")
"""Other characters without a glyph: fillers, joiners, variation selectors."""

Priority = Literal["interactive", "bulk"]
WorkflowName = Literal["txt2img"]


def _clean(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain lone surrogates")
    return text


def _is_invisible(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind in _INVISIBLE_KINDS or character in _INVISIBLE


def _label(value: Any) -> Any:
    if not isinstance(value, str | bool | int | float | None):
        # Otherwise there would be an error for each of the types that it could have had.
        raise invalid("string_type", "must be a text, a number, true, false or null")
    return value


def _not_blank(text: str) -> str:
    if all(_is_invisible(character) for character in text):
        raise ValueError("must not be blank")
    return text


def check_seed(seed: int) -> int:
    """Returns the seed. Raises ValueError unless it is one, or -1."""
    if not -1 <= seed <= SEED_MAX:
        raise ValueError(SEED_RANGE)
    return seed


def _seed(seed: int | None) -> int | None:
    if seed is not None:
        try:
            check_seed(seed)
        except ValueError as error:
            # pydantic's own error types: clients know them from the other numbers.
            kind = "less_than_equal" if seed > SEED_MAX else "greater_than_equal"
            raise invalid(kind, str(error)) from error
    return None if seed == -1 else seed


Text = Annotated[str, AfterValidator(_clean)]
PromptText = Annotated[Text, Field(min_length=1, max_length=PROMPT_MAX), AfterValidator(_not_blank)]
Name = Annotated[Text, Field(min_length=1, max_length=255)]
MetadataValue = Annotated[
    Annotated[Text, Field(max_length=METADATA_TEXT_MAX)] | bool | int | float | None,
    BeforeValidator(_label),
]
Seed = Annotated[
    int | None,
    AfterValidator(_seed),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": -1, "maximum": SEED_MAX}, {"type": "null"}]}
    ),
]
"""A seed, or None for one that is drawn, as which -1 is read."""
Size = Annotated[int, Field(ge=SIZE_MIN, le=SIZE_MAX, multiple_of=SIZE_STEP)]

_EXAMPLE: Final[dict[str, Any]] = {
    "prompt": "a red fox at dawn, film grain",
    "negative_prompt": "blurry",
    "width": 1024,
    "height": 1024,
    "steps": 25,
    "cfg": 6.5,
    "sampler": "dpmpp_2m",
    "scheduler": "karras",
    "batch_size": 1,
    "metadata": {"order": "42"},
}


class _Base(BaseModel):
    # An error's text goes into logs, and a request may hold the URL of a receiver.
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


class RequestFields(_Base):
    """What every request for one or more images may say. Only ``prompt`` is required.

    What is left out gets the defaults of the model's family. ``width`` and ``height`` are pixels,
    ``timeout_s`` is seconds of execution in ComfyUI (time spent waiting does not count).
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "a red fox"}, _EXAMPLE]})

    prompt: PromptText = Field(description="What to draw.")
    negative_prompt: Annotated[Text, Field(max_length=PROMPT_MAX)] = Field(
        default="", description="What to keep out of the image."
    )
    workflow: WorkflowName = Field(default="txt2img", description="The workflow template.")
    model: Name | None = Field(
        default=None, description="A checkpoint's file name as `GET /api/v1/models` lists it."
    )
    width: Size | None = None
    height: Size | None = None
    steps: Annotated[int, Field(ge=1, le=STEPS_MAX)] | None = None
    cfg: Annotated[float, Field(ge=0, le=CFG_MAX)] | None = Field(
        default=None, description="How strongly the image follows the prompt."
    )
    sampler: Name | None = None
    scheduler: Name | None = None
    seed: Seed = Field(
        default=None, description="Drawn when the request is accepted if null or -1."
    )
    batch_size: Annotated[int, Field(ge=1, le=BATCH_SIZE_MAX)] = Field(
        default=1, description="Images in this generation."
    )
    priority: Priority = Field(
        default="interactive", description="`bulk` waits until nothing interactive does."
    )
    timeout_s: Annotated[int, Field(ge=1, le=TIMEOUT_MAX_S)] = 600
    callback: CallbackName | None = Field(
        default=None,
        description="The name of a stored callback (`easel webhooks add NAME URL`), which hears "
        "how it ends.",
    )
    callback_events: GenerationEvents | None = Field(
        default=None,
        description="What the callback hears of; the ends (`generation.succeeded`, `.failed` and "
        "`.cancelled`) unless it is given.",
    )
    metadata: Annotated[
        dict[Annotated[Text, Field(min_length=1, max_length=METADATA_KEY_MAX)], MetadataValue],
        Field(max_length=METADATA_KEYS_MAX),
    ] = Field(default_factory=dict, description="Your own labels, given back as they are.")

    @model_validator(mode="after")
    def _has_one_callback(self) -> Self:
        _ = self.wanted_callback
        return self

    @property
    def wanted_callback(self) -> Callback | None:
        """The callback that it asks for."""
        return callback_of(
            self.callback, self.callback_events, ends=GENERATION_ENDS, url=self._receiver
        )

    @property
    def _receiver(self) -> str | None:
        return None

    @model_validator(mode="after")
    def _within_budget(self) -> Self:
        if self.width is not None and self.height is not None:
            check_pixels(self.width, self.height, self.batch_size)
        return self


class FlowRequest(RequestFields):
    """One request for one or more images. Only ``prompt`` is required.

    What is left out gets the defaults of the model's family. ``width`` and ``height`` are pixels,
    ``timeout_s`` is seconds of execution in ComfyUI (time spent waiting does not count).
    Prefect shows the parameters of its flow runs: a callback can only be named.
    """

    @model_validator(mode="before")
    @classmethod
    def _only_names_its_receiver(cls, fields: Any) -> Any:
        return without_url(fields) if isinstance(fields, dict) else fields


class GenerationRequest(RequestFields):
    """One request for one or more images. Only ``prompt`` is required.

    What is left out gets the defaults of the model's family. ``width`` and ``height`` are pixels,
    ``timeout_s`` is seconds of execution in ComfyUI (time spent waiting does not count).
    """

    callback_url: CallbackUrl | None = Field(
        default=None,
        repr=False,
        description="Where to `POST` how it ended, signed as in Standard Webhooks. It must be on "
        "the public internet, or be allowed by EASEL_WEBHOOKS__ALLOW.",
    )

    @property
    def _receiver(self) -> str | None:
        return self.callback_url


class ResolvedRequest(_Base):
    """A request with every value as it will be used. It never changes, so a retry repeats it.

    ``callback_url`` is always null: the callback is stored beside it, and shown by its host only.
    """

    prompt: str
    negative_prompt: str
    workflow: WorkflowName
    model: str
    width: int
    height: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    seed: int
    batch_size: int
    priority: Priority
    timeout_s: int
    callback_url: None = None
    metadata: dict[str, MetadataValue]


class UnreadableRequest(Unreadable):
    """The request of a generation that another version of Easel stored.

    It is never rendered: it is known in part only. The properties are for display.
    """

    @property
    def prompt(self) -> str:
        """The prompt, empty if there is none."""
        return self._text("prompt")

    @property
    def model(self) -> str:
        """The checkpoint's name, empty if there is none."""
        return self._text("model")

    @property
    def priority(self) -> Priority:
        """The queue that it waits in."""
        return "bulk" if self._text("priority") == "bulk" else "interactive"

    def _text(self, name: str) -> str:
        found = self.stored.get(name) if isinstance(self.stored, dict) else None
        return str(found or "")


StoredRequest = ResolvedRequest | UnreadableRequest


def read_request(stored: Any) -> StoredRequest:
    """Reads a stored request, which any version may have written."""
    try:
        return read_stored(ResolvedRequest, stored)
    except ValidationError as error:
        return UnreadableRequest(stored=stored, reason=reason_of(error))


def check_pixels(width: int, height: int, batch_size: int) -> None:
    """Raises ValueError when a generation has more pixels than allowed."""
    if width * height * batch_size > PIXELS_MAX:
        raise ValueError(
            f"width x height x batch_size must not exceed {PIXELS_MAX} pixels; "
            "ask for a smaller size or fewer images"
        )


def later_seed(seed: int, number: int) -> int:
    """Returns the seed ``number`` places after ``seed``; after the largest one comes 0."""
    return (seed + number) % (SEED_MAX + 1)


def draw_seed() -> int:
    """Returns a fresh seed, 0 … 2**53 - 1."""
    return secrets.randbelow(SEED_MAX + 1)
