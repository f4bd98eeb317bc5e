"""Parameters take what openapi.json says, and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.documented import openapi
from tests.api.service import CREATE, Service, assert_problem, png

LIMITS: Final = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "maxLength", "pattern", "enum"}
)
REFUSED_AS: Final = {"cursor": (400, "invalid_cursor"), "Idempotency-Key": (400, "bad_request")}
"""What is not answered 422: a cursor and a key have codes of their own."""
NOTHING_THERE: Final = {
    "cursor": (400, "invalid_cursor"),
    "sheet": (404, "not_found"),
    "callback": (422, "invalid_manifest"),
    "workflow": (422, "invalid_request"),
    "input": (422, "invalid_request"),
}
"""What is answered to a valid value that leads nowhere."""
DRY: Final = ("/api/v1/batches", "/api/v1/workflows")
"""Routes that can only tell what they would do."""
_GRAPH: Final = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1,
                                                 "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
}  # fmt: skip
CONTENT: Final = {"/api/v1/workflows": json.dumps(_GRAPH).encode()}
"""What is sent, where it is no table."""
NO_PATTERN_CAN_SAY: Final = frozenset({"timezone", "callback_url"})
"""Parameters that take few of the values that their schema allows."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of one route."""

    method: str
    path: str
    name: str
    where: str
    schema: dict[str, Any]

    @property
    def limited(self) -> dict[str, Any]:
        """The schema of one value."""
        found: dict[str, Any] = self.schema.get("items", self.schema)
        return found

    def sent(self, service: Service, batch_id: UUID, value: Any) -> httpx.Response:
        """Ask with this value, and make nothing that is in the way of others."""
        query: dict[str, Any] = {} if self.path == CREATE else {"dry_run": "true"}
        if self.name == "callback_events":  # what it needs
            query["callback_url"] = "https://shop.example/"
        headers = {"Content-Type": "application/json"}
        if self.where == "header":
            headers[self.name] = value
        else:
            query[self.name] = value
        if self.method == "get":
            path = self.path.format(batch_id=batch_id)
            return service.get(path, params={self.name: value})
        if self.path == CREATE:
            return service.client.post(CREATE, json={"prompt": "a fox"}, headers=headers)
        headers["Content-Type"] = "text/csv"
        content = CONTENT.get(self.path, b"prompt\na fox\n")
        if self.path not in DRY:
            del query["dry_run"]
        return service.client.post(self.path, params=query, headers=headers, content=content)


PARAMETERS: Final = {
    f"{method} {path} {one['name']}": Parameter(method, path, one["name"], one["in"], one["schema"])
    for path, methods in openapi()["paths"].items()
    for method, operation in methods.items()
    for one in operation.get("parameters", [])
    if one["in"] != "path"  # an id that is none is answered as one that is nobody's
    and (path, one["name"]) != ("/api/v1/uploads", "filename")  # any name is taken, and cut
    and LIMITS & one["schema"].get("items", one["schema"]).keys()
}
every_parameter = pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=PARAMETERS)
ASCII: Final = st.characters(min_codepoint=32, max_codepoint=126)


@pytest.fixture(scope="module")
def batch_id(service: Service) -> UUID:
    made = service.created_batch("a fox")
    (task_id,) = service.worker.begin_batch(made, 1)
    service.worker.finish(task_id, png())
    return made


def _at_the_limits(schema: dict[str, Any]) -> list[Any]:
    """The smallest and the largest value of a number, the longest text."""
    found = [schema[name] for name in ("minimum", "maximum") if name in schema]
    if "exclusiveMinimum" in schema:
        found.append(schema["exclusiveMinimum"] + 1e-9)
    return found


def _inside(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "pattern" in schema:
        written = st.from_regex(schema["pattern"], fullmatch=True, alphabet=ASCII)
        if "maxLength" in schema:
            written |= st.just("a" * schema["maxLength"])
        return written.filter(_is_a_moment) if schema.get("format") == "date-time" else written
    if "maxLength" in schema:
        least, most = schema.get("minLength", 1), schema["maxLength"]
        return st.text(ASCII, min_size=least, max_size=most) | st.just("a" * most)
    return st.sampled_from(_at_the_limits(schema))


def _is_a_moment(text: str) -> bool:
    """Whether there is such a day, in every time zone."""
    try:
        return 1 < datetime.fromisoformat(text.upper()).year < 9999
    except ValueError:
        return False


def _outside(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(["", "nix", schema["enum"][0].upper(), f"{schema['enum'][0]} "])
    if "pattern" in schema:
        pattern = re.compile(schema["pattern"])
        inside = st.from_regex(pattern, fullmatch=True, alphabet=ASCII)
        one_more = st.tuples(inside, st.sampled_from(" !.é~Z0")).map("".join)
        one_less = inside.map(lambda text: text[1:])
        # Blanks around the value of a header are none of it.
        near = (one_more | one_less | st.text(ASCII, max_size=300)).map(str.strip)
        too_long = st.just("a" * (schema.get("maxLength", 300) + 1))
        return near.filter(lambda text: not pattern.fullmatch(text)) | too_long
    if "maxLength" in schema:
        return st.just("a" * (schema["maxLength"] + 1))
    below = schema.get("exclusiveMinimum", schema.get("minimum", 1) - 1)
    return st.sampled_from([below, schema["maximum"] + 1, "nix", ""])


@every_parameter
@settings(max_examples=25)
@given(data=st.data())
def test_what_is_inside_is_taken(
    service: Service, batch_id: UUID, parameter: Parameter, data: st.DataObject
) -> None:
    if parameter.name in NO_PATTERN_CAN_SAY:
        return
    value = data.draw(_inside(parameter.limited))
    response = parameter.sent(service, batch_id, value)
    if response.is_error:
        assert_problem(response, *NOTHING_THERE[parameter.name])


@every_parameter
@settings(max_examples=25)
@given(data=st.data())
def test_what_is_outside_is_refused(
    service: Service, batch_id: UUID, parameter: Parameter, data: st.DataObject
) -> None:
    value = data.draw(_outside(parameter.limited))
    if parameter.where == "header":
        value = value.encode("latin-1")
    response = parameter.sent(service, batch_id, value)
    if response.status_code == 422:
        assert_problem(response, 422, "invalid_request")
    else:
        assert_problem(response, *REFUSED_AS[parameter.name])


@pytest.mark.parametrize("moment", ["0.5", "1700000000", "2026-01-31", "2026-01-31T12:00:00"])
def test_a_moment_says_its_date_time_and_zone(service: Service, moment: str) -> None:
    response = service.get("/api/v1/generation/history", params={"created_before": moment})
    (found,) = assert_problem(response, 422, "invalid_request")["errors"]
    assert found["loc"] == ["query", "created_before"]
    assert found["message"].startswith("must be a date and a time with its zone, such as")
