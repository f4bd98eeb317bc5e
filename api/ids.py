"""Ids in paths, parsed strictly: an invalid id is answered like an unknown one."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path
from pydantic import PlainValidator, WithJsonSchema
from starlette.convertors import Convertor, register_url_convertor

from api.errors import ProblemError
from core.ids import parse_generation_id


class _IdConvertor(Convertor[str]):
    """What looks like an id in a path: no word, such as the ``create`` of another route."""

    regex = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _IdConvertor())


_Written = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "format": "uuid",
            "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        }
    ),
]


def _id_of(what: str) -> PlainValidator:
    def read(text: str) -> UUID:
        found = parse_generation_id(text)
        if found is None:
            raise ProblemError("not_found", f"there is no {what} with this id")
        return found

    return PlainValidator(read, json_schema_input_type=_Written)


TaskId = Annotated[
    UUID, _id_of("generation"), Path(description="A generation's id, as `create` gave it.")
]
ArtefactId = Annotated[
    UUID, _id_of("artefact"), Path(description="An artefact's id, as a result names it.")
]
ImageId = Annotated[UUID, _id_of("image"), Path(description="An image's id, as a result names it.")]
BatchId = Annotated[UUID, _id_of("batch"), Path(description="A batch's id, as its create gave it.")]
ScheduleId = Annotated[
    UUID, _id_of("schedule"), Path(description="A schedule's id, as its create gave it.")
]
DeliveryId = Annotated[
    UUID, _id_of("delivery"), Path(description="A delivery's id: the `webhook-id` of its tries.")
]
