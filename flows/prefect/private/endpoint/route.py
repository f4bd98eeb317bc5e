"""The endpoint's routes in the API of Prefect's server, behind that one's password."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from flows.prefect.accounts import ACCOUNTS, ANSWERS, PATH
from flows.prefect.gate_places import GATE_PATH
from flows.prefect.private.endpoint.gate import read_gate_places
from flows.prefect.private.endpoint.writing import write_accounts


def add_endpoint(app: Any) -> None:
    """Let the server of ``create_app`` answer the endpoint's paths."""
    app.api_app.router.routes[:0] = [
        Route(PATH, _take, methods=["POST"]),
        Route(GATE_PATH, _tell_gate, methods=["GET"]),
    ]


async def _take(request: Request) -> Response:
    try:
        accounts = ACCOUNTS.validate_json(await request.body())
    except ValidationError as error:
        return PlainTextResponse(str(error), status_code=422)
    answers = await write_accounts(accounts)
    return Response(ANSWERS.dump_json(tuple(answers)), media_type="application/json")


async def _tell_gate(request: Request) -> Response:
    pool = request.query_params.get("pool")
    if pool is None:
        return PlainTextResponse("The work pool is missing: pool=NAME.", status_code=422)
    places = await read_gate_places(pool)
    return Response(places.model_dump_json(), media_type="application/json")
