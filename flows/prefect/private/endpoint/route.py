"""The endpoint's route in the API of Prefect's server, behind that one's password."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from flows.prefect.accounts import ACCOUNTS, ANSWERS, PATH
from flows.prefect.private.endpoint.writing import write_accounts


def add_endpoint(app: Any) -> None:
    """Let the server of ``create_app`` answer the endpoint's path."""
    app.api_app.router.routes.insert(0, Route(PATH, _take, methods=["POST"]))


async def _take(request: Request) -> Response:
    try:
        accounts = ACCOUNTS.validate_json(await request.body())
    except ValidationError as error:
        return PlainTextResponse(str(error), status_code=422)
    answers = await write_accounts(accounts)
    return Response(ANSWERS.dump_json(tuple(answers)), media_type="application/json")
