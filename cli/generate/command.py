"""``easel generate``: from a prompt to files in a folder."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError, outputs_of
from cli.console import (
    BAD_USAGE,
    FAILED,
    INTERRUPTED,
    OK,
    UNREACHABLE,
    CommandError,
    console_on,
    report_failure,
)
from cli.generate.follow import follow
from cli.generate.inputs import Inputs, Names
from cli.generate.meter import Meter, open_meter
from cli.generate.saving import names, save, slug, suffix
from cli.warned import tell_warnings
from core.fields import later_seed
from core.requests import DEFAULT_WORKFLOW
from core.urls import without_userinfo

_CANCEL_S: Final = 5.0
_CANCELLED: Final = "the generation was cancelled"


@dataclass(frozen=True)
class Order:
    """What the command line asks for.

    ``values`` are the request's fields that were given, inputs by their roles; ``settings`` are
    inputs by their names, ``name=value``.
    """

    values: Mapping[str, Any]
    count: int
    folder: Path
    api_url: str
    as_json: bool
    workflow: str | None = None
    settings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What its files are named after."""
        return str(self.values.get("prompt") or self.workflow or DEFAULT_WORKFLOW)

    async def asked(self, client: ApiClient) -> Asked:
        """Returns the generations that together have ``count`` pictures, each with its own seed.

        The workflow is looked up only if one is named, or inputs by their names. A folder of files
        is one batch, with ``count`` pictures of each.
        """
        if self.workflow is None and not self.settings:
            return Asked(_repeated(self.values, self.count, Names()))
        inputs = await Inputs.of(client, self.workflow or DEFAULT_WORKFLOW)
        given = inputs.of_options(self.values)
        if self.workflow is not None:
            given["workflow"] = self.workflow
        made = await inputs.of_settings(client, self.settings)
        rows = [{**given, **values} for values in made.rows]
        if made.files:
            return Asked(rows, made.files)
        [values] = rows
        return Asked(_repeated(values, self.count, inputs.names))


@dataclass(frozen=True)
class Asked:
    """The requests, each a generation; with ``files``, rows of a batch, one for each file."""

    requests: list[dict[str, Any]]
    files: tuple[Path, ...] = ()


def _repeated(values: Mapping[str, Any], count: int, names: Names) -> list[dict[str, Any]]:
    """Returns the requests that together have ``count`` pictures, each with its own seed."""
    if names.batch_size is None or names.batch_size in values:
        requests = [dict(values) for _ in range(count)]
    else:
        most = names.at_once
        sizes = [min(most, count - start) for start in range(0, count, most)]
        requests = [{**values, names.batch_size: size} for size in sizes]
    if names.seed is not None and values.get(names.seed, -1) != -1:
        for number, request in enumerate(requests):
            request[names.seed] = later_seed(values[names.seed], number, names.seed_max)
    return requests


@dataclass
class Outcome:
    """How one generation ended: its result and files, or its problem."""

    task_id: str
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None
    files: list[Path] = field(default_factory=list)
    exit_code: int = FAILED
    """The command's exit code when there is a problem."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "task_id": self.task_id,
            "result": self.result,
            "problem": self.problem,
            "files": [str(file) for file in self.files],
        }


async def generate(order: Order) -> int:
    """Create, follow and save. Returns the exit code. CommandError if nothing was created."""
    async with ApiClient(order.api_url) as client:
        try:
            asked = await order.asked(client)
        except (ApiUnreachableError, ApiRefusedError) as error:
            raise _not_created(error, order) from error
        if asked.files:
            from cli.generate.folder import generate_folder

            return await generate_folder(client, order, asked)
        documents = await _create_all(client, order, asked.requests)
        tell_warnings(warning for each in documents for warning in each.get("warnings", ()))
        try:
            outcomes = await _follow_all(client, order, documents)
        except asyncio.CancelledError:
            console_on(sys.stderr).print("Interrupted: cancelling …")
            await _cancel_all(client, documents)
            return INTERRUPTED
    return report(order, outcomes)


async def _create_all(
    client: ApiClient, order: Order, requests: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []
    try:
        for request in requests:
            documents.append(await client.create(request))  # noqa: PERF401 - kept when one fails
    except (ApiUnreachableError, ApiRefusedError) as error:
        await _cancel_all(client, documents)
        raise _not_created(error, order) from error
    except asyncio.CancelledError:
        await _cancel_all(client, documents)
        raise
    return documents


def _not_created(error: ApiUnreachableError | ApiRefusedError, order: Order) -> CommandError:
    if isinstance(error, ApiUnreachableError):
        return CommandError(
            f"{error}. Start Easel with `easel up`, or name its address with --api URL "
            "(or EASEL_API_URL).",
            UNREACHABLE,
        )
    errors = error.problem.get("errors")
    if error.status == 422 and errors:
        return CommandError("the request is not valid.\n" + field_lines(errors), BAD_USAGE)
    if error.status == 404 and not error.problem.get("code"):
        return CommandError(
            f"{without_userinfo(order.api_url)} answers, but not as Easel does.", UNREACHABLE
        )
    return CommandError(str(error), BAD_USAGE if error.status in {400, 404, 422} else FAILED)


def field_lines(errors: list[dict[str, Any]]) -> str:
    """Returns each problem of a request on a line: ``width: must be a multiple of 8``."""
    return "\n".join(
        f"  {'.'.join(str(part) for part in each.get('loc', []) if part != 'body') or 'request'}"
        f": {each.get('message', '')}"
        for each in errors
    )


async def _follow_all(
    client: ApiClient, order: Order, documents: list[dict[str, Any]]
) -> list[Outcome]:
    with open_meter(len(documents)) as meter:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_follow_one(client, order, document, meter, number))
                for number, document in enumerate(documents)
            ]
    return [task.result() for task in tasks]


async def _follow_one(
    client: ApiClient, order: Order, document: dict[str, Any], meter: Meter, number: int
) -> Outcome:
    outcome = Outcome(document["task_id"])
    try:
        meter.show(number, now := document)
        async for now in follow(client, document):
            meter.show(number, now)
        if now["status"] != "succeeded":
            outcome.problem = now.get("error") or {"detail": _CANCELLED}
            return outcome
        outcome.result = await client.result(outcome.task_id)
        outcome.files = await save_all(client, outcome.result, order.folder, order.title)
    except ApiRefusedError as error:
        outcome.problem = {"detail": str(error), **error.problem}
    except ApiUnreachableError as error:
        outcome.exit_code = UNREACHABLE
        outcome.problem = {
            "detail": f"{error}, for a while now. Nothing is lost: it continues when `easel up` "
            f"runs again; see {client.url}/api/v1/generation/status/{outcome.task_id} then."
        }
    except OSError as error:
        outcome.problem = {
            "detail": f"The result is kept, but could not be written to {order.folder} "
            f"({error.strerror or error}). Get it from {client.url}/api/v1/generation/result/"
            f"{outcome.task_id}, or choose another folder with --out DIR."
        }
    return outcome


async def save_all(
    client: ApiClient, result: Mapping[str, Any], folder: Path, prompt: str
) -> list[Path]:
    """Save every output of a result. Returns the files, in order. Raises OSError."""
    files: list[Path] = []
    kept = outputs_of(result)
    for number, output in enumerate(kept, start=1):
        stem = slug(prompt) if output["seed"] is None else f"{slug(prompt)}-{output['seed']}"
        ending = suffix(output["content_type"], output.get("name") or "")
        candidates = names(stem, ending, number if len(kept) > 1 else None)
        download = partial(client.download, output)
        files.append(await save(folder, candidates, download, output["sha256"]))
    return files


async def _cancel_all(client: ApiClient, documents: list[dict[str, Any]]) -> None:
    with suppress(TimeoutError, ApiUnreachableError, ApiRefusedError):
        async with asyncio.timeout(_CANCEL_S):
            for document in documents:
                await client.cancel(document["task_id"])


def report(order: Order, outcomes: list[Outcome]) -> int:
    """Print the files, and on stderr what is wrong. Returns the exit code."""
    out = console_on(sys.stdout)
    if order.as_json:
        out.print(json.dumps([outcome.to_json() for outcome in outcomes], indent=2))
    else:
        for outcome in outcomes:
            for file in outcome.files:
                out.print(str(file))
    code = OK
    for outcome in outcomes:
        if outcome.problem is not None:
            report_failure(problem_text(outcome.problem))
            code = max(code, outcome.exit_code)
    return code


def problem_text(problem: Mapping[str, Any]) -> str:
    """Returns a problem's detail, with the ComfyUI node that is to blame, if any."""
    text = str(problem.get("detail") or problem.get("title") or "the generation failed")
    if problem.get("node_class"):
        text += f" (node {problem.get('node_id')}, {problem['node_class']})"
    return text
