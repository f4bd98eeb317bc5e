"""Every setting, read at the doors only (CLI, API lifespan, worker setup, migrations)."""

from __future__ import annotations

import json
import re
import ssl
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from platformdirs import user_data_path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.callbacks.addresses import AllowedAddresses
from core.keys import checked_key, key_in
from core.uploads import UploadKind
from core.urls import HOST_NAME, without_userinfo


def _server_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # without its text, which may repeat the URL
        raise ValueError(f"is not a URL; {_ESCAPED}") from None
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(_ESCAPED)
    return url.rstrip("/")


_ESCAPED: Final = (
    "in a user name or password, write / as %2F, ? as %3F, # as %23, [ as %5B, @ as %40"
)
ServerUrl = Annotated[str, AfterValidator(_server_url)]
"""A server's URL. Paths are appended to it, and ComfyUI's is a key in the store: the API and the
worker must read the same."""


def _certificates(file: Path) -> Path:
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:
        reason = error.strerror if isinstance(error, FileNotFoundError) else "no certificates (PEM)"
        raise ValueError(f"{file} cannot be used: {reason}") from error
    return file.absolute()


DEFAULT_COMFY_URL: Final = "http://127.0.0.1:8188"
"""Where a ComfyUI listens unless it is told otherwise."""
_SQLITE: Final = "sqlite+aiosqlite://"
_POSTGRESQL: Final = "postgresql+asyncpg://"


def _with_absolute_file(url: str) -> str:
    """Returns an SQLite URL that means the same file in every working folder."""
    file, mark, query = url.removeprefix(f"{_SQLITE}/").partition("?")
    scheme = "file:" if file.startswith("file:") else ""  # SQLite's own URL
    path = file.removeprefix(scheme)
    if any(kind(path).is_absolute() for kind in (PurePosixPath, PureWindowsPath)):
        return url
    return f"{_SQLITE}/{scheme}{Path(path).absolute()}{mark}{query}"


def _json_list(example: str) -> BeforeValidator:
    """Returns what reads a list from the environment; pydantic's own errors name no variable."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        with suppress(ValueError, RecursionError):
            found = json.loads(value)
            if isinstance(found, list):
                return found
        raise ValueError(f"must be a list in JSON, such as {example}")

    return BeforeValidator(read)


class _Group(BaseModel):
    # An error's text is printed and logged, and what is wrong may be a key or a password.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ApiSettings(_Group):
    """The HTTP facade."""

    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8700, description="Port the API listens on.")
    public_url: ServerUrl | None = Field(
        default=None,
        repr=False,
        description="Address clients and the Prefect UI reach the API under. The command line logs "
        "in with its `user:password@`, which is shown and stored nowhere.",
    )
    max_body_bytes: int = Field(default=1_000_000, description="Longest JSON body, in bytes.")
    max_manifest_bytes: int = Field(
        default=64_000_000, description="Longest manifest of a batch, in bytes."
    )
    max_workflow_bytes: int = Field(
        default=50_000_000, description="Longest file of a workflow that is imported, in bytes."
    )


class ComfySettings(_Group):
    """The ComfyUI that this machine's worker drives."""

    url: ServerUrl | None = Field(
        default=None,
        repr=False,
        description="ComfyUI's address. `easel up` starts the emulator without one. It may begin "
        "with `user:password@`, which is shown and stored nowhere.",
    )
    ca_file: Annotated[Path, AfterValidator(_certificates)] | None = Field(
        default=None,
        description="Certificates (PEM) to trust for `https://`, beside those of the system.",
    )
    previews: bool = Field(default=True, description="Ask ComfyUI for live preview frames.")
    default_model: str | None = Field(
        default=None, description="Checkpoint for requests that name none (else the first one)."
    )
    paid_nodes: bool = Field(
        default=False,
        description="Take workflows with nodes that call paid services (ComfyUI's partner nodes).",
    )
    paid_key: SecretStr | None = Field(
        default=None,
        description="The key for paid services, which ComfyUI gets with prompts that call them.",
    )
    paid_key_file: Path | None = Field(
        default=None, description="A file with that key instead; its mode must be 0600."
    )

    @field_validator("paid_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr | None) -> SecretStr | None:
        return key and SecretStr(checked_key(key.get_secret_value()))

    @field_validator("paid_key_file")
    @classmethod
    def _holds_a_key(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is None:
            return None
        if info.data.get("paid_key") is not None:
            raise ValueError("is beside EASEL_COMFY__PAID_KEY: give the key in one way only")
        key_in(file)
        return file.absolute()

    def key_of_paid_services(self) -> SecretStr | None:
        """Returns the key, read from its file. ValueError if that has changed for the worse."""
        return (
            self.paid_key if self.paid_key_file is None else SecretStr(key_in(self.paid_key_file))
        )


class StoreSettings(_Group):
    """Persistent data."""

    url: str | None = Field(
        default=None,
        repr=False,
        description="SQLAlchemy URL; SQLite in the home folder without one, "
        "`postgresql+asyncpg://…` for PostgreSQL.",
    )

    @field_validator("url")
    @classmethod
    def _is_kept_by_a_known_database(cls, url: str | None) -> str | None:
        """Refuse here what a driver would refuse with a traceback, or what loses everything."""
        if url is None or url.startswith(_POSTGRESQL):
            return url
        if url != _SQLITE and not url.startswith(f"{_SQLITE}/"):
            raise ValueError(f"must begin with {_SQLITE}/ or {_POSTGRESQL}")
        file = url.removeprefix(_SQLITE).partition("?")[0].removeprefix("/")
        if file in ("", ":memory:") or "mode=memory" in url:
            raise ValueError(
                "an SQLite database in memory is lost with its process, and each process would "
                f"have its own: name a file, such as {_SQLITE}//var/lib/easel/easel.db"
            )
        return _with_absolute_file(url)

    images_url: str | None = Field(
        default=None,
        repr=False,
        description="obstore URL for the images; a folder in the home without one.",
    )

    @field_validator("images_url")
    @classmethod
    def _is_an_absolute_folder(cls, url: str | None) -> str | None:
        return url if url is None or "://" in url else str(Path(url).absolute())

    file_max_mb: int = Field(
        default=4000,
        ge=1,
        description="Megabytes of the largest file that is fetched from ComfyUI.",
    )
    reserve_mb: int = Field(
        default=256,
        ge=0,
        description="Megabytes that must be free on the disk: with less, creates are refused.",
    )


class PrefectSettings(_Group):
    """The Prefect server."""

    api_url: ServerUrl | None = Field(
        default=None, repr=False, description="Prefect API; `easel up` starts a server without one."
    )
    ui_url: ServerUrl | None = Field(
        default=None, repr=False, description="Prefect UI, when it is elsewhere."
    )
    host: str = Field(
        default="127.0.0.1", description="Address the Prefect server of `easel up` listens on."
    )
    port: int = Field(default=4200, description="Port of the Prefect server `easel up` starts.")
    take_over: UUID | None = Field(
        default=None, description="The store from which to take the work pool over, if it has it."
    )


class WorkerSettings(_Group):
    """The worker process."""

    name: str | None = Field(default=None, description="The worker's name; the host's without one.")
    concurrency: int = Field(
        default=2,
        ge=1,
        description="Flow runs at once. 2: one renders, the next is already queued in ComfyUI.",
    )
    drain_s: float = Field(
        default=5.0, description="Seconds that live runs get to end when the worker stops."
    )
    model_load_s: float = Field(
        default=5.0,
        ge=0,
        description="Seconds in which ComfyUI loads a model: for so long a generation is left to "
        "another worker that would start it sooner.",
    )


class RecoverySettings(_Group):
    """How soon dead processes are noticed."""

    lease_s: float = Field(
        default=20.0,
        gt=0,
        description="Seconds of silence after which a worker's runs are given to others.",
    )
    look_every_s: float = Field(
        default=5.0, gt=0, description="Seconds between two looks of the reconciler."
    )


class RetentionSettings(_Group):
    """How long ended generations and batches are kept."""

    pictures_days: float | None = Field(
        default=None, gt=0, description="Days that images are kept; for ever without it."
    )
    generations_days: float | None = Field(
        default=None,
        gt=0,
        description="Days that generations are kept, whatever became of them; for ever without it.",
    )
    deliveries_days: float = Field(
        default=30.0, gt=0, description="Days that ended deliveries of callbacks are kept."
    )
    runs_days: float = Field(
        default=7.0,
        gt=1 / 24,
        description="Days that the Prefect server of `easel up` keeps flow runs with their logs.",
    )
    events_days: float = Field(
        default=1.0,
        gt=0,
        description="Days that the Prefect server of `easel up` keeps events.",
    )


class UploadSettings(_Group):
    """Files that clients bring as inputs."""

    image_bytes: int = Field(default=50_000_000, gt=0, description="Largest image, in bytes.")
    video_bytes: int = Field(
        default=100_000_000,
        gt=0,
        description="Largest video, in bytes. ComfyUI takes 100 MiB unless it is started with "
        "`--max-upload-size`.",
    )
    audio_bytes: int = Field(default=100_000_000, gt=0, description="Largest sound, in bytes.")
    model3d_bytes: int = Field(default=100_000_000, gt=0, description="Largest 3D model, in bytes.")
    file_bytes: int = Field(default=10_000_000, gt=0, description="Largest other file, in bytes.")
    pixels: int = Field(
        default=50_000_000, gt=0, description="Most pixels of an image, width times height."
    )
    keep_days: float = Field(
        default=30.0,
        gt=1 / 24,
        description="Days that an upload is kept after its last use, and after the last "
        "generation, batch or schedule that refers to it is gone.",
    )

    def bytes_max(self, kind: UploadKind) -> int:
        """Returns how many bytes a file of this kind may have."""
        return {
            "image": self.image_bytes,
            "video": self.video_bytes,
            "audio": self.audio_bytes,
            "model3d": self.model3d_bytes,
            "file": self.file_bytes,
        }[kind]


class WebhookSettings(_Group):
    """Callbacks: what is sent to clients' receivers."""

    allow: Annotated[tuple[str, ...], NoDecode, _json_list('["receiver.lan"]')] = Field(
        default=(),
        description="Hosts and networks that may be reached though they are not public, as a JSON "
        'list: `["receiver.lan", "192.168.1.0/24"]`.',
    )
    retry_after_s: Annotated[
        tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...],
        NoDecode,
        _json_list("[5, 300]"),
    ] = Field(
        default=(5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
        description="Seconds after each failed try until the next one, as a JSON list.",
    )
    timeout_s: float = Field(
        default=15.0, gt=0, description="Seconds that a receiver has to answer, in all."
    )
    ca_file: Annotated[Path, AfterValidator(_certificates)] | None = Field(
        default=None,
        description="Certificates (PEM) to trust for receivers, beside those of the system.",
    )

    @field_validator("allow")
    @classmethod
    def _can_be_read(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        AllowedAddresses.of(texts)
        return texts

    @property
    def allowed(self) -> AllowedAddresses:
        """What may be reached though it is not public."""
        return AllowedAddresses.of(self.allow)


class WebSettings(_Group):
    """The web page."""

    enabled: bool = Field(default=True, description="Serve the page beside the API.")


class Settings(BaseSettings):
    """All settings: ``EASEL_HOME``, ``EASEL_API__PORT``, ``EASEL_COMFY__URL``, … ."""

    model_config = SettingsConfigDict(
        env_prefix="EASEL_",
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    home: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=lambda: user_data_path("easel", appauthor=False),
        description="Folder for everything that lasts.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Host names under which Easel and its Prefect server may be reached, separated "
        "by commas.",
    )
    api: ApiSettings = Field(default_factory=ApiSettings)
    comfy: ComfySettings = Field(default_factory=ComfySettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    prefect: PrefectSettings = Field(default_factory=PrefectSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    recovery: RecoverySettings = Field(default_factory=RecoverySettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)
    uploads: UploadSettings = Field(default_factory=UploadSettings)
    web: WebSettings = Field(default_factory=WebSettings)

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return re.split(r"[,\s]+", value.strip(", \n\t")) if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _names_only(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(name.lower() for name in names if name)
        for name in names:
            if not HOST_NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is not a host name: give names without http:// and port"
                )
        return names

    @property
    def host_names(self) -> tuple[str, ...]:
        """The host names that are Easel's: those allowed, and those in its own addresses."""
        addresses = (
            self.api.public_url,
            self.prefect.api_url,
            self.prefect.ui_url,
            f"//{_bracketed(self.api.host)}",
            f"//{_bracketed(self.prefect.host)}",
        )
        named = (urlsplit(address).hostname for address in addresses if address)
        return (*self.allowed_hosts, *filter(None, named))

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL of the store."""
        return self.store.url or f"sqlite+aiosqlite:///{self.home / 'easel.db'}"

    @property
    def images_url(self) -> str:
        """The obstore URL (or plain folder) of the images."""
        return self.store.images_url or str(self.home / "images")

    @property
    def incoming(self) -> Path:
        """The folder for uploads while they arrive."""
        return self.home / "incoming"

    @property
    def wildcards(self) -> Path:
        """The folder of wildcard lists for prompts: one `name.txt` for each `__name__`."""
        return self.home / "wildcards"

    @property
    def local_folders(self) -> tuple[Path, ...]:
        """The local folders that grow: the home, and the images' unless those are elsewhere."""
        images = () if "://" in self.images_url else (Path(self.images_url),)
        return (self.home, *images)

    @property
    def api_url(self) -> str:
        """The address clients use for the API: they read it, so without a password."""
        return without_userinfo(self.api_login_url)

    @property
    def api_login_url(self) -> str:
        """The same, with the user name and password that something in front of it asks for."""
        return self.api.public_url or f"http://{_reachable(self.api.host)}:{self.api.port}"

    @property
    def api_origins(self) -> tuple[str, ...]:
        """The address that the page has in browsers, if it is not the one it is served at."""
        return tuple(filter(None, [self.api.public_url]))

    @property
    def prefect_origins(self) -> tuple[str, ...]:
        """The addresses that the Prefect UI has in browsers, if set."""
        return tuple(filter(None, [self.prefect.ui_url, self.prefect.api_url]))

    @property
    def prefect_api_url(self) -> str:
        """The address of the Prefect API."""
        if self.prefect.api_url:
            return self.prefect.api_url
        return f"http://{_reachable(self.prefect.host)}:{self.prefect.port}/api"

    @property
    def prefect_ui_url(self) -> str:
        """The address of the Prefect UI: clients read it, so without a password."""
        url = self.prefect.ui_url or self.prefect_api_url.removesuffix("/api")
        return without_userinfo(url)


def _reachable(host: str) -> str:
    """Returns the address to connect to, as URLs write it, for a listen address."""
    return _bracketed({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host))  # noqa: S104


def _bracketed(host: str) -> str:
    """Returns the host as URLs write it."""
    return f"[{host}]" if ":" in host else host
