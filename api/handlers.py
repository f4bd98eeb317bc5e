"""From errors to answers: one table, one shape (``application/problem+json``)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.body import PROBLEMS_SHOWN, shown, summary
from api.errors import ProblemError
from api.security_headers import JSON_HEADERS
from core.invalid import words
from core.problems import FieldProblem, Problem, problem
from store.errors import (
    ArtefactStoreError,
    ConflictError,
    DeletedError,
    IdempotencyMismatchError,
    InvalidCursorError,
    NotFoundError,
    StoreUnavailableError,
    UploadExpiredError,
)

_TABLE: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (DeletedError, "deleted", "it was deleted and cannot be restored"),
    (UploadExpiredError, "upload_expired", "it was removed, or it has expired; send it again"),
    (NotFoundError, "not_found", "there is nothing with this id"),
    (InvalidCursorError, "invalid_cursor", "start again without a cursor"),
    (IdempotencyMismatchError, "idempotency_mismatch", "use another key for another body"),
    (ConflictError, "already_ended", "it is not in a state that allows this"),
    (StoreUnavailableError, "not_available", "the database isn't answering; try again"),
    (ArtefactStoreError, "not_available", "the image cannot be read now; try again"),
)
_BY_STATUS: Final[dict[int, str]] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "invalid_request",
}
_log = logging.getLogger(__name__)
_Handler = Callable[[Request, Exception], Awaitable[Response]]


def problem_response(found: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Returns a problem as a response. Its ``request_id`` is in our log too."""
    if found.request_id is None:
        found = found.model_copy(update={"request_id": str(uuid4())})
    return Response(
        found.model_dump_json(exclude_none=True),
        status_code=found.status,
        media_type="application/problem+json",
        headers=dict(headers or {}),
    )


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem."""

    @app.exception_handler(ProblemError)
    async def of_problem(_request: Request, error: ProblemError) -> Response:
        return problem_response(error.problem, error.headers)

    @app.exception_handler(RequestValidationError)
    async def of_validation(_request: Request, error: RequestValidationError) -> Response:
        return problem_response(_of_validation(error))

    @app.exception_handler(HTTPException)
    async def of_http(_request: Request, error: HTTPException) -> Response:
        code = _BY_STATUS.get(error.status_code, "bad_request")
        found = problem(code, str(error.detail)).model_copy(update={"status": error.status_code})
        return problem_response(found, error.headers)

    @app.exception_handler(Exception)
    async def of_anything(request: Request, error: Exception) -> Response:
        found = problem(
            "internal_error",
            "this is a bug; Easel's log has more under the request_id",
        )
        found = found.model_copy(update={"request_id": str(uuid4())})
        _log.error("%s %s: %s", request.method, request.url.path, found.request_id, exc_info=error)
        # The server closes the connection after a bug; a client must not send more over it.
        # Its middleware is around all others, those that add headers too.
        return problem_response(found, {**JSON_HEADERS, "Connection": "close"})

    for kind, code, detail in _TABLE:
        app.add_exception_handler(kind, _answering(code, detail))


def _answering(code: str, detail: str) -> _Handler:
    headers = {"Retry-After": "2"} if code == "not_available" else None

    async def answer(request: Request, error: Exception) -> Response:
        if code == "not_available":
            _log.warning("%s %s: 503, %s", request.method, request.url.path, error)
        return problem_response(problem(code, detail), headers)

    return answer


def _of_validation(error: RequestValidationError) -> Problem:
    """Returns the problem without ``input``: a body value is never echoed."""
    errors = error.errors()
    found = [
        FieldProblem(
            loc=tuple(shown(part) for part in item["loc"]),
            code=item["type"],
            message=words(item),
        )
        for item in errors[:PROBLEMS_SHOWN]
    ]
    return problem("invalid_request", summary(found, len(errors)), errors=found)
