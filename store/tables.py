"""The tables. Times are UTC; JSON is plain JSON on every database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime. SQLite drops time zones, so naive values are read as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse naive values: they would mean a different time on another machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime must say its time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Restore the time zone."""
        if value is None or not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_Json: Final = JSON(none_as_null=True)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""One row, ``changes``: raised by every write, in commit order, so that a feed misses nothing."""

identity = Table(
    "identity",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)
"""One row, made by its migration: which store this is. See ``identity.py``."""

generations = Table(
    "generations",
    metadata,
    Column("id", Uuid, primary_key=True),
    # The order of acceptance. Not a clock: clocks jump.
    Column("seq", BigInteger, nullable=False, unique=True),
    # The order in which the queue is taken, within a priority: ``seq``, and after a retry the
    # number of that change. Both come from one counter, so a retry goes behind all before it.
    Column("turn", BigInteger, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("priority", String(16), nullable=False),
    # The workflow's name; NULL of a deleted one.
    Column("workflow", String(64)),
    Column("model", String(255)),
    Column("prompt", Text),
    # With its plan: see core/requests.py.
    Column("request", _Json),
    # Where its events are sent; see core/callbacks/callback.py. A batch's is in the batch's row.
    Column("callback", _Json),
    Column("batch_id", Uuid),
    Column("progress", _Json),
    Column("waiting", _Json),
    Column("error", _Json),
    Column("cost", Float, nullable=False),
    # The digest of what its ComfyUI must have; NULL for anything, and of an earlier version.
    Column("needs", String(32)),
    Column("flow_run_id", Uuid),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    # When its pictures were removed because they were old (see retention).
    Column("expired_at", UtcDateTime),
    Index("ix_generations_change", "change"),
    # With the cost: how much work is ahead is summed at each acceptance. With the needs: what a
    # worker's ComfyUI cannot do is passed over without a look at its row.
    Index("ix_generations_queue", "status", "priority", "turn", "cost", "needs"),
    Index("ix_generations_model", "model", "seq"),
    Index("ix_generations_workflow", "workflow", "seq"),
    Index("ix_generations_batch_id", "batch_id", "seq"),
    # Covers all that a batch's figures are computed from, so that no row is read: measured with
    # 12,000 ended ones, 16 ms instead of 45.
    Index(
        "ix_generations_batch_figures",
        *("batch_id", "status", "deleted_at", "started_at", "finished_at", "cost"),
    ),
    Index("ix_generations_flow_run_id", "flow_run_id"),
)

attempts = Table(
    "attempts",
    metadata,
    Column(
        "generation_id", Uuid, ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("number", Integer, primary_key=True),
    Column("prompt_id", String(36), nullable=False),
    Column("flow_run_id", Uuid),
    # The deployment that the run was made for: if Prefect has another, it lost its database.
    Column("deployment_id", Uuid),
    Column("worker", String(255)),
    # The lease that must be alive for this attempt to count as held.
    Column("holder", Uuid),
    # The ComfyUI that may know the prompt.
    Column("comfy_url", String(500)),
    Column("created_at", UtcDateTime, nullable=False),
    # Written before the POST: from here on ComfyUI may know the prompt.
    Column("submitted_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("outcome", String(16)),
    Column("error", _Json),
    # What its flow run shows of the work, to be told Prefect; NULL when there is nothing to tell.
    Column("stages", _Json),
    Column("told_at", UtcDateTime),
    Index(
        "ix_attempts_untold",
        "ended_at",
        sqlite_where=text("stages IS NOT NULL AND told_at IS NULL"),
        postgresql_where=text("stages IS NOT NULL AND told_at IS NULL"),
    ),
    # Whose holder may have died: as many as there are places, however long the queue is.
    Index(
        "ix_attempts_held",
        "holder",
        sqlite_where=text("holder IS NOT NULL AND outcome IS NULL"),
        postgresql_where=text("holder IS NOT NULL AND outcome IS NULL"),
    ),
)

batches = Table(
    "batches",
    metadata,
    Column("id", Uuid, primary_key=True),
    # The order of acceptance; NULL until all of its items are written.
    Column("seq", BigInteger, unique=True),
    Column("status", String(16), nullable=False),
    Column("name", String(200), nullable=False),
    Column("options", _Json, nullable=False),
    # Its axes; NULL without a grid, and for batches of versions that kept none.
    Column("grid", _Json),
    Column("seed", BigInteger, nullable=False),
    Column("total", Integer, nullable=False),
    Column("cost", Float, nullable=False),
    # Items are released in order of turn: all before this one are generations.
    Column("released", Integer, nullable=False),
    # Failed items that are to be retried and have not been yet.
    Column("to_retry", Integer, nullable=False),
    # How many flow runs it has had: another begins when the last one ended too early.
    Column("run_number", Integer, nullable=False),
    Column("flow_run_id", Uuid),
    Column("deployment_id", Uuid),
    # The lease that must be alive for the flow run to count as held.
    Column("holder", Uuid),
    Column("schedule", String(200)),
    Column("callback", _Json),
    # Invalid rows that were skipped: part of the answer to the create.
    Column("skipped", _Json),
    Column("waiting", _Json),
    Column("error", _Json),
    Column("window_ends_at", UtcDateTime),
    Column("idempotency_key", String(255), unique=True),
    Column("body_sha256", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Index("ix_batches_status", "status"),
    Index("ix_batches_flow_run_id", "flow_run_id"),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("batch_id", Uuid, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("turn", Integer, nullable=False),
    # Its position in the manifest.
    Column("row", Integer, nullable=False),
    # Which combination of the batch's grid; NULL without one.
    Column("combination", Integer),
    Column("generation_id", Uuid, nullable=False, unique=True),
    # Both NULL once it is released: from then on the generation has them.
    Column("request", _Json),
    Column("callback", _Json),
    Column("again", Boolean, nullable=False),
    Index("ix_batch_items_turn", "batch_id", "turn"),
    Index("ix_batch_items_again", "batch_id", "again"),
)
"""The items of a batch: one row for each generation, from acceptance on."""

artefacts = Table(
    "artefacts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column(
        "generation_id",
        Uuid,
        ForeignKey("generations.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("position", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    # The node that gave it: of an expanded node, one that is in no graph.
    Column("node", String(255)),
    Column("primary", Boolean, nullable=False),
    Column("path", String(255), nullable=False),
    Column("poster_path", String(255)),
    Column("content_type", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("duration_s", Float),
    Column("fps", Float),
    Column("frames", Integer),
    # The beginning of a text; its file has all of it.
    Column("text", Text),
    Column("seed", BigInteger),
    Column("created_at", UtcDateTime, nullable=False),
    # The history by kind looks at each generation, and at nothing but this index.
    Index("ix_artefacts_generation_id", "generation_id", "kind"),
)
"""What was made: a row for each output of a generation that succeeded."""

previews = Table(
    "previews",
    metadata,
    Column(
        "generation_id", Uuid, ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("number", Integer, nullable=False),
    Column("content_type", String(64), nullable=False),
    Column("data", LargeBinary, nullable=False),
)
"""The newest live preview of each running generation; gone when it ends."""

outbox = Table(
    "outbox",
    metadata,
    # Never reused (see sqlite_autoincrement): a late write that names a removed entry
    # must not hit another one.
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    # Lanes are worked on side by side, so that trouble in one holds up no other.
    Column("lane", String(300), nullable=False),
    Column("kind", String(32), nullable=False),
    # A generation or a batch. One entry per subject is worked on at a time.
    Column("subject", Uuid, nullable=False, index=True),
    Column("payload", _Json, nullable=False),
    # Lower ranks go first; within a rank, in the order of ids.
    Column("rank", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # NULL (due at once) until it is postponed. Both by the database's clock.
    Column("due_at", UtcDateTime),
    Column("put_off_at", UtcDateTime),
    Column("tries", Integer, nullable=False),
    Column("error", Text),
    # The lease of the runner that is working on it.
    Column("claimed_by", Uuid),
    Index("ix_outbox_lane", "lane", "rank", "id"),
    # What is due, in any lane: looked up several times a second.
    Index("ix_outbox_due_at", "kind", "due_at"),
    Index("ix_outbox_put_off_at", "kind", "put_off_at"),
    Index(
        "ix_outbox_claimed",
        *("lane", "subject"),
        unique=True,
        sqlite_where=text("claimed_by IS NOT NULL"),
        postgresql_where=text("claimed_by IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)
"""What is to be done outside of the store, written in the transaction that decided it."""

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("body_sha256", String(64), nullable=False),
    Column("generation_id", Uuid, nullable=False),
    Column("answer", _Json),
    Column("created_at", UtcDateTime, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("comfy_url", String(500), nullable=False),
    Column("comfy_reachable", Boolean, nullable=False),
    Column("detail", Text),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    # The lease that the worker renews while it lives; NULL from a version that recorded none.
    Column("holder", Uuid),
    # How many runs of other stores wait in its pool, by store.
    Column("foreign_runs", _Json),
    # How many prompts it gives its ComfyUI at a time; NULL from a version that recorded none.
    Column("slots", Integer),
    Column("last_model", String(255)),
    Column("seconds_per_cost", Float),
    # When it stopped cleanly; NULL while it runs, and when it died.
    Column("stopped_at", UtcDateTime),
)

gates = Table(
    "gates",
    metadata,
    Column("pool", String(255), primary_key=True),
    # See flows/prefect/gate.py.
    Column("value", _Json, nullable=False),
)
"""What an operator holds back in Prefect, by work pool, as a worker last saw it there."""

leases = Table(
    "leases",
    metadata,
    Column("name", String(300), primary_key=True),
    Column("holder", Uuid, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("length_s", Float, nullable=False),
)
"""Leases of live processes: workers, the reconciler, outbox runners. See ``leases.py``."""

strays = Table(
    "strays",
    metadata,
    Column("prompt_id", String(36), primary_key=True),
    Column("comfy_url", String(500), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)
"""Unwanted prompts that a ComfyUI may still have: its worker removes them."""

catalogues = Table(
    "catalogues",
    metadata,
    Column("comfy_url", String(500), primary_key=True),
    Column("data", _Json, nullable=False),
    Column("fetched_at", UtcDateTime, nullable=False),
)
"""What each ComfyUI offered when last seen, so that creates can be checked while it is down."""

needs = Table(
    "needs",
    metadata,
    Column("digest", String(32), primary_key=True),
    # See core/workflows/needs.py.
    Column("value", _Json, nullable=False),
)
"""What generations need of their ComfyUI: few rows, however many generations there are."""

offers = Table(
    "offers",
    metadata,
    Column("comfy_url", String(500), primary_key=True),
    # The names in its model folders; NULL until they were listed as a whole.
    Column("files", _Json),
    # Its node classes, and the names that they offer; NULL until they were read.
    Column("nodes", _Json),
    # Another one after each change.
    Column("digest", String(32), nullable=False),
)
"""What each ComfyUI has, by names: where a generation can be done. See ``store/offers.py``."""

node_catalogues = Table(
    "node_catalogues",
    metadata,
    Column("comfy_url", String(500), primary_key=True),
    # JSON, compressed (gzip): some hundred classes have megabytes.
    Column("data", LargeBinary, nullable=False),
    # Of what it says, whichever way it was compressed.
    Column("digest", String(64), nullable=False),
    Column("fetched_at", UtcDateTime, nullable=False),
)
"""The node classes of each ComfyUI when they were last seen to change."""

workflows = Table(
    "workflows",
    metadata,
    Column("name", String(64), primary_key=True),
    # The newest one.
    Column("version", String(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # When it was removed: what uses it goes on.
    Column("hidden_at", UtcDateTime),
)
"""Imported workflows by name; the built-in ones are in the code."""

workflow_versions = Table(
    "workflow_versions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", String(32), primary_key=True),
    # The whole declaration, with its graph: see core/workflows/declaration.py.
    Column("document", _Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
"""Every version that there was: a retry renders the one that its generation was accepted with."""

callbacks = Table(
    "callbacks",
    metadata,
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    # NULL for an address that no name is stored for, and that is switched off.
    Column("name", String(64), unique=True),
    Column("url", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # When its receiver said that it is gone (410); NULL while events are sent to it.
    Column("off_at", UtcDateTime),
    Index(
        "ix_callbacks_url",
        "url",
        unique=True,
        sqlite_where=text("name IS NULL"),
        postgresql_where=text("name IS NULL"),
    ),
)
"""Stored callbacks, and addresses that are switched off."""

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("secret", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
"""What signs deliveries: one row, made by its migration; two while a secret is being rotated."""

deliveries = Table(
    "deliveries",
    metadata,
    # The order of the events: a subject's are numbered in order.
    Column(
        "number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("id", Uuid, nullable=False, unique=True),
    Column("event", String(32), nullable=False),
    # The generation and its batch, or a batch alone: of what the event is.
    Column("generation_id", Uuid),
    Column("batch_id", Uuid),
    # The stored callback, else the URL: one of both.
    Column("name", String(64)),
    Column("url", Text),
    Column("host", String(300), nullable=False),
    # The state at the event, as values of the row.
    Column("snapshot", _Json, nullable=False),
    # What is sent: NULL until the first try.
    Column("body", Text),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    # Failed tries, since it was written or sent again by hand.
    Column("failures", Integer, nullable=False),
    # An operator had it sent again, when it had ended.
    Column("by_hand", Boolean, nullable=False),
    Column("tries", _Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index("ix_deliveries_generation_id", "generation_id", "number"),
    Index("ix_deliveries_batch_id", "batch_id", "number"),
    Index("ix_deliveries_state", "state", "number"),
    Index("ix_deliveries_ended_at", "ended_at"),
    sqlite_autoincrement=True,
)
"""Events for callbacks, with every try to deliver them. See ``store/callbacks/``."""

uploads = Table(
    "uploads",
    metadata,
    # The SHA-256 of the bytes as they were received.
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("content_type", String(100), nullable=False),
    Column("extension", String(16), nullable=False),
    # Of the kept file: a picture was decoded and written again.
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("duration_s", Float),
    Column("name", String(255), nullable=False),
    Column("path", String(255), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False, index=True),
    # What remains is a tombstone: the id answers 410 until the same bytes are sent again.
    Column("removed_at", UtcDateTime),
)
"""Files that clients brought. See ``store/uploads/``."""

upload_references = Table(
    "upload_references",
    metadata,
    Column("upload_id", String(64), primary_key=True),
    # A generation or a batch.
    Column("subject", Uuid, primary_key=True),
)
"""Which requests name which uploads; one whose subject is gone counts no more."""

artefact_references = Table(
    "artefact_references",
    metadata,
    Column("artefact_id", Uuid, primary_key=True),
    # A generation or a batch.
    Column("subject", Uuid, primary_key=True),
)
"""Which requests name which artefacts; one whose subject has ended counts no more."""

offered_sources = Table(
    "offered_sources",
    metadata,
    Column("comfy_url", String(500), primary_key=True),
    Column("data", _Json, nullable=False),
    Column("fetched_at", UtcDateTime, nullable=False),
)
"""What each ComfyUI offers as workflows, when that was last seen to change."""

source_requests = Table(
    "source_requests",
    metadata,
    Column("id", Uuid, primary_key=True),
    # Whose worker is to fetch it.
    Column("comfy_url", String(500), nullable=False),
    Column("source", String(500), nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    # The file; NULL where the ComfyUI does not have it.
    Column("data", LargeBinary),
    Column("name", String(500)),
    Column("title", String(500)),
    # Why there is no answer.
    Column("problem", String(1000)),
)
"""Files of workflows that an API cannot fetch itself. A row lives as long as somebody waits."""

model_files = Table(
    "model_files",
    metadata,
    Column("comfy_url", String(500), primary_key=True),
    Column("folder", String(255), primary_key=True),
    Column("name", String(255), primary_key=True),
    # In bytes, and seconds since 1970; NULL where ComfyUI lists the name only.
    Column("size", BigInteger),
    Column("modified", Float),
    # Which version read it, and whether beside ComfyUI: another may know more of the same file.
    Column("read_by", String(100), nullable=False),
    Column("data", _Json, nullable=False),
)
"""What is known of each file in the folders of each ComfyUI. See ``store/models.py``."""

model_settings = Table(
    "model_settings",
    metadata,
    Column("folder", String(255), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("family", String(64)),
    Column("text_encoders", _Json),
    Column("vae", String(255)),
    Column("set_at", UtcDateTime, nullable=False),
)
"""What the owner says of files, whichever ComfyUI has them."""

model_digests = Table(
    "model_digests",
    metadata,
    # A ComfyUI's URL, or "settings".
    Column("subject", String(500), primary_key=True),
    Column("digest", String(32), nullable=False),
)
"""Another one after each change, so that readers know when to read again."""
