"""Flow runs, seen from outside: start, cancel and forget them by the deployment's name.

It runs no flow code. Schedules, which the API also keeps in Prefect, are in ``schedules.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentFlowRunCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterIdempotencyKey,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling, Scheduled, to_state_create

from core.requests import DEFAULT_WORKFLOW, ResolvedRequest
from core.urls import without_userinfo
from flows.errors import DeploymentMissingError, PrefectUnavailableError
from flows.prefect.abandoned_runs import FLOW, put_back, settle_run, under_way
from flows.prefect.credentials import Credentials
from flows.prefect.pool_owner import claim_pool, is_owner
from flows.prefect.stored_deployments import (
    StoredDeployment,
    deployment_by_name,
    deployments_of_flow,
)
from store.values import Batch, Membership

DEPLOYMENT: Final = "generate/comfyui"
"""Flow and deployment name, as in ``prefect.yaml``."""
BATCH_DEPLOYMENT: Final = "bulk/batch"
BULK_QUEUE: Final = "bulk"
BATCH_QUEUE: Final = "batches"
"""The work queue of batches' own runs."""
NAME_MAX: Final = 60
ANSWER_S: Final = 5.0
"""Timeout after which Prefect counts as unavailable. Repeating a request is harmless."""
HEALTH_S: Final = 3.0
"""The same for the question whether it can be used."""
REFUSED: Final = (
    "refuses this process: set PREFECT_API_AUTH_STRING to the server's "
    "PREFECT_SERVER_API_AUTH_STRING (PREFECT_API_KEY for Prefect Cloud)"
)
_REFUSING: Final = frozenset({401, 403})
_READ_AT_ONCE: Final = 50
OWNED_FOR_S: Final = 10.0
"""How long it is taken for granted that the pool still belongs to this store."""
SAME_POOL_S: Final = 60.0
"""How long it is taken for granted that the deployment has the same pool, which this store owns."""
STORE_LABEL: Final = "easel.store"
"""The label of a run that says which store it was made for."""
_BATCH: Final = "batch:"
_WORKFLOW: Final = "workflow:"


def idempotency_key(generation_id: UUID, attempt: int) -> str:
    """Returns the key of an attempt's flow run: creating it twice gives the same run."""
    return f"{generation_id}:{attempt}"


def parse_idempotency_key(key: str | None) -> tuple[UUID, int] | None:
    """Returns the generation and attempt of a run; None for a run that Easel did not make."""
    generation_id, _, attempt = (key or "").partition(":")
    try:
        return UUID(generation_id), int(attempt)
    except ValueError:
        return None


def batch_key(batch_id: UUID, run_number: int) -> str:
    """The idempotency key of a batch's own flow run."""
    return f"{_BATCH}{batch_id}:{run_number}"


def batch_of_key(key: str | None) -> UUID | None:
    """Returns the batch of a batch's own run; None for any other run."""
    text = (key or "").removeprefix(_BATCH).partition(":")[0] if is_batch_key(key) else ""
    try:
        return UUID(text)
    except ValueError:
        return None


def is_batch_key(key: str | None) -> bool:
    """Returns whether Easel made the run for a batch."""
    return (key or "").startswith(_BATCH)


def is_ours(key: str | None) -> bool:
    """Returns whether Easel made the run, and so named it."""
    return parse_idempotency_key(key) is not None or is_batch_key(key)


def batch_tag(batch_id: UUID) -> str:
    """The tag of everything that belongs to a batch."""
    return f"{_BATCH}{batch_id}"


def batch_run_name(name: str) -> str:
    """Returns the name of a batch's flow run: the batch's name on one line, shortened."""
    line = " ".join(name.split())
    return line if len(line) <= NAME_MAX else f"{line[: NAME_MAX - 1]}…"


def deployment_of(workflow: str) -> str:
    """Returns the deployment that runs of a workflow are started from, as flow and name."""
    return DEPLOYMENT if workflow == DEFAULT_WORKFLOW else f"{FLOW}/{workflow}"


def workflow_tag(workflow: str) -> str:
    """The tag of the deployment of a workflow that has one of its own, and so of its runs."""
    return f"{_WORKFLOW}{workflow}"


def workflow_of_tags(tags: Iterable[str]) -> str | None:
    """Returns the workflow whose deployment has these tags; None if it is of none."""
    found = (tag.removeprefix(_WORKFLOW) for tag in tags if tag.startswith(_WORKFLOW))
    return next(found, None)


def is_for_generations(deployment: StoredDeployment) -> bool:
    """Returns whether Easel registered this deployment of the flow ``generate``."""
    name = deployment.name
    return f"{FLOW}/{name}" == DEPLOYMENT or workflow_of_tags(deployment.tags) == name


def run_name(
    generation_id: UUID,
    attempt: int,
    batch: Membership | None = None,
    workflow: str = DEFAULT_WORKFLOW,
) -> str:
    """Returns the name of an attempt's flow run: its generation's id, never its prompt.

    The name of a workflow that has a deployment of its own stands before it.

    Prefect repeats the name in its events and in the worker's log, which outlive the run: a prompt
    in it could not be deleted any more.
    """
    name = str(generation_id) if attempt == 1 else f"{generation_id} attempt {attempt}"
    if workflow != DEFAULT_WORKFLOW:
        name = f"{workflow}: {name}"
    if batch is None:
        return name
    return f"{batch_run_name(batch.name)} {batch.position + 1}/{batch.total}: {name}"


def run_tags(request: ResolvedRequest, batch: Membership | None = None) -> list[str]:
    """What operators filter runs by in the Prefect UI."""
    tags = [tag for tag in (request.workflow, request.model, request.priority) if tag]
    return tags if batch is None else [*tags, batch_tag(batch.batch_id)]


class FlowRuns:
    """Speaks to the Prefect API at ``api_url``. Use as an async context manager.

    Every method raises PrefectUnavailableError when Prefect does not answer. With a ``store``,
    those that start runs, or read or change runs under way, raise OtherStoreError while the work
    pool belongs to another store; ``take_over_from`` is as for ``claim_pool``.
    """

    def __init__(
        self,
        api_url: str,
        store: UUID | None = None,
        *,
        take_over_from: UUID | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._api_url = api_url
        self._store = store
        self._take_over_from = take_over_from
        self._owned_until = float("-inf")
        self._pool: tuple[UUID, float] | None = None
        credentials = credentials or Credentials.read()
        self._client = PrefectClient(
            api_url,
            auth_string=credentials.auth_string,
            api_key=credentials.api_key,
            httpx_settings={"timeout": httpx.Timeout(15, connect=3)},
            # Its own check asks the server for its version before the first request.
            server_type=None,
        )
        self._deployment_ids: dict[str, UUID] = {}

    @property
    def client(self) -> PrefectClient:
        """The client that all requests go through."""
        return self._client

    async def __aenter__(self) -> FlowRuns:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._client.__aexit__(*exc_info)

    async def confirm_owner(self) -> None:
        """Make sure that the pool of the deployment is this store's. Raises OtherStoreError.

        A pool of no store is claimed. Without a pool there is nothing to confirm.
        """
        if self._store is None or time.monotonic() < self._owned_until:
            return
        try:
            async with translated():
                if not await self._owns_the_same_pool(self._store):
                    await self._claim(self._store)
        except ObjectNotFound:
            return
        self._owned_until = time.monotonic() + OWNED_FOR_S

    async def _owns_the_same_pool(self, store: UUID) -> bool:
        """Returns whether the pool that was claimed lately is still this store's."""
        pool_id, until = self._pool or (None, float("-inf"))
        if pool_id is None or time.monotonic() >= until:
            return False
        return await is_owner(self._client, pool_id, store)

    async def _claim(self, store: UUID) -> None:
        self._pool = None
        pool = (await deployment_by_name(self._client, DEPLOYMENT)).work_pool_name
        if pool is None:
            return
        taken_from = self._take_over_from
        pool_id = await claim_pool(self._client, pool, store, take_over_from=taken_from)
        self._take_over_from = None  # once: it may be taken from this store in turn
        if pool_id is not None:
            self._pool = pool_id, time.monotonic() + SAME_POOL_S

    async def confirm_owner_at_start(self) -> None:
        """As ``confirm_owner``; an unavailable Prefect does not delay the start."""
        try:
            async with httpx.AsyncClient(timeout=1, trust_env=False) as http:
                (await http.get(f"{self._api_url}/health")).raise_for_status()
            await self.confirm_owner()
        except (httpx.HTTPError, httpx.InvalidURL, PrefectUnavailableError):
            return

    async def start(
        self,
        generation_id: UUID,
        attempt: int,
        request: ResolvedRequest,
        turn: datetime | None = None,
        batch: Membership | None = None,
    ) -> FlowRun:
        """Create the flow run of an attempt, or return the existing one.

        Prefect starts runs of a queue in the order of ``turn``; None means now, and so does a
        ``turn`` in the future (after the clock was set back).
        Also raises DeploymentMissingError.
        """
        if turn is not None:
            turn = min(turn, datetime.now(UTC))
        return await self._create(
            deployment_of(request.workflow),
            # Its form is that of its newest version, and a retry may be of an earlier one.
            enforced=request.workflow == DEFAULT_WORKFLOW,
            parameters=run_parameters(generation_id, request),
            name=run_name(generation_id, attempt, batch, request.workflow),
            tags=run_tags(request, batch),
            idempotency_key=idempotency_key(generation_id, attempt),
            work_queue_name=request.priority,
            state=Scheduled(scheduled_time=turn),
        )

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the runs that it makes."""
        return {STORE_LABEL: str(self._store)} if self._store else {}

    async def start_batch(self, batch: Batch) -> FlowRun:
        """Create the flow run of a batch, or return the existing one.

        Also raises DeploymentMissingError.
        """
        return await self._create(
            BATCH_DEPLOYMENT,
            parameters={"batch_id": str(batch.id)},
            name=batch_run_name(batch.name),
            tags=[batch_tag(batch.id)],
            idempotency_key=batch_key(batch.id, batch.run_number),
            work_queue_name=BATCH_QUEUE,
        )

    async def _create(self, deployment: str, *, enforced: bool = True, **run: Any) -> FlowRun:
        """Create a run. ``enforced``: Prefect checks its parameters by the deployment's form."""
        await self.confirm_owner()
        labels: dict[str, Any] = dict(self.labels)
        try:
            deployment_id = await self.deployment_id(deployment)
            async with translated(), _missing():
                if not enforced:
                    return await self._create_unchecked(deployment_id, labels=labels, **run)
                return await self._client.create_flow_run_from_deployment(
                    deployment_id, labels=labels, **run
                )
        except ObjectNotFound as error:
            self._deployment_ids.pop(deployment, None)
            raise DeploymentMissingError(deployment) from error

    async def _create_unchecked(
        self, deployment_id: UUID, state: State[Any], **run: Any
    ) -> FlowRun:
        """As the client does, which cannot say that the parameters are not to be checked."""
        wanted = DeploymentFlowRunCreate(
            state=to_state_create(state), enforce_parameter_schema=False, **run
        )
        answer = await self._client.request(
            "POST",
            "/deployments/{id}/create_flow_run",
            path_params={"id": deployment_id},
            json=wanted.model_dump(mode="json", exclude_unset=True),
        )
        return FlowRun.model_validate(answer.json())

    async def cancel(self, flow_run_id: UUID) -> None:
        """Cancel a flow run. Does nothing when it has ended or is gone.

        A scheduled run is Cancelled at once (the server rejects Cancelling *with* Cancelled,
        which is a success); a running one is cancelled by its worker.
        """
        try:
            async with translated():
                await self._client.set_flow_run_state(
                    flow_run_id, Cancelling(message="Cancelled through Easel.")
                )
        except ObjectNotFound:
            return

    async def resume(self, flow_run_id: UUID) -> None:
        """Resume a flow run that was paused in Prefect. Does nothing when it was not."""
        run = (await self.states([flow_run_id])).get(flow_run_id)
        if run is not None and run.state_type == StateType.PAUSED:
            await self.settle(run, Scheduled(name="Resuming"))

    async def forget(self, flow_run_id: UUID) -> None:
        """Delete a flow run with its parameters, task runs, logs and artifacts, where they exist.

        The artifacts by themselves: Prefect keeps those of a run that is gone.
        """
        await self._forget_artifacts(flow_run_id)
        with suppress(ObjectNotFound):
            async with translated():
                await self._client.delete_flow_run(flow_run_id)

    async def _forget_artifacts(self, flow_run_id: UUID) -> None:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        while True:
            async with translated():
                found = await self._client.read_artifacts(artifact_filter=wanted)
            if not found:
                return
            for artifact in found:
                with suppress(ObjectNotFound):
                    async with translated():
                        await self._client.delete_artifact(artifact.id)

    async def made_for(self, generation_id: UUID, attempts: Iterable[int]) -> set[UUID]:
        """Returns the runs that were made for these attempts, recorded in their rows or not."""
        return await self._with_keys(idempotency_key(generation_id, number) for number in attempts)

    async def made_for_batch(self, batch_id: UUID, run_number: int) -> set[UUID]:
        """Returns the runs that Easel made for a batch, of which it has had ``run_number``."""
        return await self._with_keys(batch_key(batch_id, at + 1) for at in range(run_number))

    async def _with_keys(self, keys: Iterable[str]) -> set[UUID]:
        wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=list(keys)))
        async with translated():
            return {run.id for run in await self._client.read_flow_runs(flow_run_filter=wanted)}

    async def is_over(self, flow_run_id: UUID, *, for_s: float = 0.0) -> bool:
        """Returns whether the run ended at least ``for_s`` seconds ago (or is gone)."""
        states = await self.states([flow_run_id])
        run = states.get(flow_run_id)
        if run is None or run.state is None:
            return run is None
        # The absolute difference: a clock set back must not cause a wait of hours.
        ended = abs(datetime.now(UTC) - run.state.timestamp)
        return run.state_type in OVER and ended >= timedelta(seconds=for_s)

    async def states(self, flow_run_ids: Iterable[UUID]) -> dict[UUID, FlowRun]:
        """Returns the runs that exist, by id."""
        ids = list(flow_run_ids)
        found: dict[UUID, FlowRun] = {}
        for start in range(0, len(ids), _READ_AT_ONCE):
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=ids[start : start + _READ_AT_ONCE]))
            async with translated():
                runs = await self._client.read_flow_runs(flow_run_filter=wanted)
            found.update({run.id: run for run in runs})
        return found

    async def history(self, flow_run_id: UUID) -> list[State[Any]]:
        """Returns all states that a run has had, the first one first; [] when it is gone."""
        async with translated():
            found = await self._client.read_flow_run_states(flow_run_id)
        return sorted(found, key=lambda state: state.timestamp)

    async def under_way(self, flow: str = FLOW) -> list[FlowRun]:
        """Returns the runs of a flow that are under way according to Prefect."""
        await self.confirm_owner()
        async with translated():
            return await under_way(self._client, flow=flow)

    async def put_back(self, run: FlowRun) -> bool:
        """Let any worker take an abandoned run; see ``abandoned_runs.put_back``."""
        await self.confirm_owner()
        async with translated():
            return await put_back(self._client, run)

    async def settle(self, run: FlowRun, state: State[Any]) -> bool:
        """Give an abandoned run another state; see ``abandoned_runs.settle_run``."""
        await self.confirm_owner()
        async with translated():
            return await settle_run(self._client, run, state)

    async def deployment(self, name: str = DEPLOYMENT) -> UUID:
        """Returns a deployment's id. A changed id means that Prefect lost its database."""
        self._deployment_ids.pop(name, None)
        return await self.deployment_id(name)

    async def generate_deployments(self) -> list[StoredDeployment]:
        """Returns the deployments that Easel registered for generations, one for each workflow."""
        async with translated():
            found = await deployments_of_flow(self._client, FLOW)
        return [one for one in found if is_for_generations(one)]

    async def trouble(self) -> str | None:
        """Returns why the Prefect API cannot be used, None if it can.

        Reads a deployment: the API's own health check needs no password.
        """
        try:
            async with asyncio.timeout(HEALTH_S):
                await deployment_by_name(self._client, DEPLOYMENT)
        except ObjectNotFound:
            return None  # it answers; the worker registers the deployment
        except PrefectHTTPStatusError as error:
            status = error.response.status_code
            return REFUSED if status in _REFUSING else f"answers {status}"
        except (TimeoutError, httpx.HTTPError, OSError, RuntimeError):
            return "does not answer"
        except ValueError:
            return "does not answer as a Prefect API does"
        return None

    async def deployment_id(self, name: str = DEPLOYMENT) -> UUID:
        """As ``deployment``, as it was known before. Also raises DeploymentMissingError."""
        known = self._deployment_ids.get(name)
        if known is None:
            try:
                async with translated():
                    deployment = await deployment_by_name(self._client, name)
            except ObjectNotFound as error:
                raise DeploymentMissingError(name) from error
            known = self._deployment_ids[name] = deployment.id
        return known


OVER: Final = frozenset(
    {StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED}
)


def run_parameters(generation_id: UUID, request: ResolvedRequest) -> dict[str, Any]:
    """Returns the parameters of an attempt's flow run."""
    return {"request": public(request), "generation_id": str(generation_id)}


def public(request: ResolvedRequest) -> dict[str, Any]:
    """Returns the request as operators may see it: no callback address, no client metadata."""
    return request.model_dump(mode="json", exclude={"callback_url", "metadata"})


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Raise PrefectUnavailableError for every error that means Prefect does not answer now."""
    try:
        # Prefect's client retries by itself for half a minute; the caller should get the reason.
        async with asyncio.timeout(ANSWER_S):
            yield
    except (ObjectNotFound, RecursionError, NotImplementedError):
        raise
    except PrefectHTTPStatusError as error:
        raise PrefectUnavailableError(
            f"Prefect answered {error.response.status_code}: {error.response.text[:300]}"
        ) from error
    except (httpx.HTTPError, OSError, RuntimeError) as error:
        why = without_userinfo(str(error)) or type(error).__name__
        raise PrefectUnavailableError(f"Prefect isn't answering ({why})") from error
    except ValueError as error:  # no JSON, or none of what was asked for
        raise PrefectUnavailableError("Prefect gave an answer that cannot be read") from error


def is_absence(error: BaseException | None) -> bool:
    """Returns whether the error says that Prefect's server is away, or cannot answer now.

    Prefect's client wraps what its first request of a process finds.
    """
    if isinstance(error, RuntimeError):
        error = error.__cause__
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.is_server_error
    return isinstance(error, httpx.TransportError)


@asynccontextmanager
async def _missing() -> AsyncIterator[None]:
    """Raise ObjectNotFound for a 404 where Prefect's client does not."""
    try:
        yield
    except PrefectHTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            raise ObjectNotFound(http_exc=error) from error
        raise


__all__ = [
    "BATCH_DEPLOYMENT",
    "BATCH_QUEUE",
    "BULK_QUEUE",
    "DEPLOYMENT",
    "STORE_LABEL",
    "FlowRuns",
    "batch_key",
    "batch_of_key",
    "batch_run_name",
    "batch_tag",
    "idempotency_key",
    "parse_idempotency_key",
    "public",
    "run_name",
    "run_tags",
    "translated",
]
