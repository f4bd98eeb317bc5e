"""Problems: what went wrong, in one shape for HTTP errors and failed generations (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from core.stored import Unreadable, read_stored, reason_of


@dataclass(frozen=True)
class ProblemKind:
    """A stable ``code`` with its title and the HTTP status it has as an answer."""

    code: str
    title: str
    http_status: int


_KINDS: Final = (
    ProblemKind("bad_request", "The request could not be read", 400),
    ProblemKind("malformed_json", "The body is not well-formed JSON", 400),
    ProblemKind("invalid_cursor", "The cursor is not valid here", 400),
    ProblemKind("unauthorized", "The request is not authenticated", 401),
    ProblemKind("unknown_host", "The host name is not one of this server's", 403),
    ProblemKind("foreign_origin", "The request comes from another site", 403),
    ProblemKind("not_found", "Not found", 404),
    ProblemKind("not_rendered", "ComfyUI has no such output now", 404),
    ProblemKind("method_not_allowed", "This path does not allow that method", 405),
    ProblemKind("not_ready", "The generation has not ended yet", 409),
    ProblemKind("generation_failed", "The generation failed", 409),
    ProblemKind("generation_cancelled", "The generation was cancelled", 409),
    ProblemKind("already_ended", "It has already ended", 409),
    ProblemKind("not_retryable", "Only what failed or was cancelled can be retried", 409),
    ProblemKind("idempotency_in_flight", "The first request with this key is still running", 409),
    ProblemKind("schedule_in_file", "The schedule is set in prefect.yaml", 409),
    ProblemKind("workflow_exists", "There is a workflow of this name", 409),
    ProblemKind("workflow_built_in", "The workflow is Easel's own", 409),
    ProblemKind("deleted", "The generation was deleted", 410),
    ProblemKind("pictures_expired", "The artefacts were removed because of their age", 410),
    ProblemKind("upload_expired", "The upload is not there any more", 410),
    ProblemKind("precondition_failed", "It has been changed since it was read", 412),
    ProblemKind("payload_too_large", "The body is too large", 413),
    ProblemKind("unsupported_media_type", "The body's type is not supported here", 415),
    ProblemKind("range_not_satisfiable", "That range is not in the file", 416),
    ProblemKind("invalid_request", "The request is not valid", 422),
    ProblemKind("invalid_manifest", "The manifest has rows with problems", 422),
    ProblemKind("idempotency_mismatch", "The key was used with another body", 422),
    ProblemKind("invalid_workflow", "The file is no workflow that can be used", 422),
    ProblemKind("paid_nodes", "The workflow calls paid services", 422),
    ProblemKind("unknown_source", "ComfyUI does not offer this workflow", 422),
    ProblemKind("precondition_required", "Say which version is to be changed", 428),
    ProblemKind("internal_error", "Something went wrong in Easel", 500),
    ProblemKind("comfyui_away", "ComfyUI did not give the output", 502),
    ProblemKind("not_available", "The service cannot do this right now", 503),
    ProblemKind("disk_full", "There is too little free disk space", 503),
    ProblemKind("no_catalogue", "ComfyUI has not been reached yet", 503),
    # Problems a generation can end with. Their HTTP status is that of the result route.
    ProblemKind("workflow_rejected", "ComfyUI rejected the workflow", 409),
    ProblemKind("paid_unknown", "It may have been charged, and its result is lost", 409),
    ProblemKind("input_refused", "ComfyUI does not take the file", 409),
    ProblemKind("node_failed", "ComfyUI reported an error", 409),
    ProblemKind("out_of_memory", "The GPU ran out of memory", 409),
    ProblemKind("interrupted", "The generation was interrupted in ComfyUI", 409),
    ProblemKind("no_output", "ComfyUI finished without an output", 409),
    ProblemKind("unusable_file", "ComfyUI's file cannot be used", 409),
    ProblemKind("unsupported_comfyui", "ComfyUI is too old for Easel", 409),
    ProblemKind("prompt_lost", "ComfyUI lost the prompt repeatedly", 409),
    ProblemKind("timed_out", "The generation took longer than its timeout", 409),
    ProblemKind("comfyui_unreachable", "ComfyUI isn't answering", 409),
    ProblemKind("run_failed", "The flow run failed", 409),
    ProblemKind("unreadable_document", "It was stored by another version of Easel", 409),
    # Problems a batch can end with.
    ProblemKind("batch_incomplete", "The batch is incomplete", 409),
    ProblemKind("too_many_failures", "The batch stopped: too many failures", 409),
)

MISFIT: Final = "This model and these settings don't fit together"
"""How the detail of ``node_failed`` begins when trying again cannot help."""
KINDS: Final[dict[str, ProblemKind]] = {kind.code: kind for kind in _KINDS}


@dataclass(frozen=True)
class FieldProblem:
    """One thing wrong with one place of a request. The value itself is never echoed."""

    # A path of field names; or what ``of_row`` and ``of_node`` build.
    loc: tuple[str | int, ...]
    code: str
    message: str

    @classmethod
    def of_row(cls, row: int, column: str | None, code: str, message: str) -> FieldProblem:
        """Returns a manifest row's problem; ``row`` is 0 for the manifest as a whole."""
        return cls(("row", row) if column is None else ("row", row, column), code, message)

    @classmethod
    def of_node(
        cls, node_id: str, class_type: str, input_name: str, code: str, message: str
    ) -> FieldProblem:
        """Returns a node's problem, in ComfyUI's words; a text is empty where it gives none."""
        return cls(("node", node_id, class_type, input_name), code, message)

    @property
    def row(self) -> int:
        """The row of a manifest at fault."""
        return int(self.loc[1])

    @property
    def column(self) -> str | None:
        """The column at fault, None for the row as a whole."""
        return str(self.loc[2]) if len(self.loc) > 2 else None

    def __str__(self) -> str:
        where = _where(self.loc)
        return f"{where}: {self.message}" if where else self.message


def _where(loc: tuple[str | int, ...]) -> str:
    match loc:
        case ("row", int(row), *columns):
            return ", ".join([*([f"row {row}"] if row else []), *map(str, columns)])
        case ("node", node_id, class_type, input_name):
            node = f"{class_type or 'node'} (node {node_id})" if node_id else ""
            return ", ".join(filter(None, [node, f"input {input_name}" if input_name else ""]))
        case _:
            return ".".join(map(str, loc))


class Problem(BaseModel):
    """The body of every error, and the ``error`` of a failed generation.

    ``node_id``, ``node_class`` and ``node_message`` are set when a ComfyUI node is to blame.
    """

    model_config = ConfigDict(frozen=True)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] = []
    request_id: str | None = None
    node_id: str | None = None
    node_class: str | None = None
    node_message: str | None = None


def problem(code: str, detail: str, **more: Any) -> Problem:
    """Returns a problem of a known kind. KeyError for a code that is not in the table."""
    kind = KINDS[code]
    return Problem(
        type=f"urn:easel:problem:{code}",
        title=kind.title,
        status=kind.http_status,
        detail=detail,
        code=code,
        **more,
    )


def unreadable(what: str, found: Unreadable) -> Problem:
    """Returns the reason why ``what``, a stored document, cannot be read."""
    return problem(
        "unreadable_document",
        f"Another version of Easel stored {what}, and this version cannot read it "
        f"({found.reason}). Create it again, or go back to that version.",
    )


def read_problem(stored: Any) -> Problem:
    """Reads a stored problem, which any version may have written; unknown members are dropped."""
    try:
        return read_stored(Problem, stored)
    except ValidationError as error:
        return unreadable("the error", Unreadable(stored=stored, reason=reason_of(error)))
