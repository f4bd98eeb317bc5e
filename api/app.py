"""The application: opens its resources, declares its routes, closes everything at shutdown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from importlib.metadata import version
from socket import gethostname
from typing import Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import artefacts, auth, handlers, health, metrics, options
from api.auth import Policy
from api.batches import routes as batches
from api.batches.facade import BatchFacade
from api.catalogue import CatalogueCache
from api.context import Context
from api.deliveries import routes as deliveries
from api.deliveries import webhooks
from api.deliveries.bodies import Bodies
from api.deliveries.facade import DeliveryFacade
from api.disk import DiskReserve
from api.figures import Figures
from api.generations import events
from api.generations import routes as generations
from api.generations.documents import Links
from api.generations.facade import Busy, Facade
from api.generations.renderings import WITHIN_S
from api.generations.shared import Followed
from api.head_requests import HeadRequests
from api.limits import RequestLimits
from api.models import routes as models
from api.models.cache import ModelsCache
from api.models.facade import ModelFacade
from api.nodes import NodesCache
from api.nothing_here import NothingHere
from api.schedules import routes as schedules
from api.schedules.facade import ScheduleFacade
from api.security_headers import headers_for
from api.uploads import routes as uploads
from api.uploads.facade import UploadFacade
from api.workers import routes as workers
from api.workers.facade import WorkerFacade
from api.workflows import routes as workflows
from api.workflows.facade import WorkflowFacade
from comfy import ComfyClient
from comfy.address import Address
from core import gc_tuning
from core.origin_guard import OriginGuard
from core.response_headers import ResponseHeaders
from core.settings import DEFAULT_COMFY_URL, Settings
from flows.prefect.declared import default_pool
from flows.prefect.pauses import PauseWatch
from flows.prefect.runs import FlowRuns
from flows.prefect.schedules import Schedules
from flows.reconcile.dispatcher import Dispatcher
from flows.reconcile.housekeeping import Housekeeping
from flows.reconcile.reconciler import Reconciler
from flows.reconcile.workflows import DeployedWorkflows
from flows.refused_starts import RefusedStarts
from store.generations.dispatches import START_DELAY_S
from store.store import Store
from webhooks.deliverer import Deliverer
from webhooks.guard import Guard
from webhooks.sending import Sender
from webhooks.services import OwnServices
from webhooks.trust import trust

_DESCRIPTION: Final = """\
Easel generates images with ComfyUI: queued, kept and findable.

1. `POST /api/v1/generation/create` with a prompt. The answer is 202 and a `task_id`.
2. Follow `GET /api/v1/generation/{task_id}/events`, or poll `…/status/{task_id}`.
3. `GET /api/v1/generation/result/{task_id}` has the images.

Or give a `callback_url`: how it ended is sent there (see the webhooks below), and
`GET /api/v1/deliveries` says what became of that.

Every error is `application/problem+json` with a stable `code`.
"""


LOCKED_S: Final = 4.0
"""How long a request waits for other writers of SQLite: then it is answered 503, to be repeated."""


def create_app(settings: Settings | None = None, policy: Policy | None = None) -> FastAPI:
    """Returns the ASGI application. The settings are read from the environment unless given.

    Without a policy every request is allowed.
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_context(settings) as context:
            app.state.context = context
            app.state.opened = context.by_type()
            gc_tuning.started()
            yield

    app: FastAPI = FastAPIOffline(
        title="Easel",
        version=version("easel"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url="/docs",
        redoc_url=None,  # its bundle loads a logo from another machine
        openapi_url="/openapi.json",
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )
    handlers.install(app)
    app.add_middleware(HeadRequests)
    app.add_middleware(RequestLimits)
    # What is added last runs first.
    auth.install(app, policy)
    app.add_middleware(
        OriginGuard,
        names=settings.host_names,
        origins=settings.api_origins,
        # Pictures, previews, contact sheets: Prefect's UI shows them in artifacts, and clients on
        # pages of their own. No page can read the bytes, and JSON is not shown at all.
        embeddable=("/api/v1/",),
    )
    app.add_middleware(ResponseHeaders, headers_for=headers_for)
    app.add_middleware(RefusedStarts)
    rooms = (
        *(generations, events, artefacts, uploads, batches, schedules, deliveries, workflows),
        *(models, options, workers, health, metrics),
    )
    for room in rooms:
        # Not include_router: FastAPI 0.150 matches included routers through more calls, 15 to 45 us
        # of each request (a create takes 500). Guards are middleware (api.auth), not dependencies.
        app.router.routes.extend(room.router.routes)
    webhooks.document(app)
    app.router.routes.append(NothingHere(app.router.routes))
    return app


@asynccontextmanager
async def _own_pool(runs: FlowRuns) -> AsyncIterator[None]:
    """Refuse to start beside another store's work pool, before anything is dispatched to it."""
    await runs.confirm_owner_at_start()
    yield


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[Context]:
    """Open everything the routes need. Raises what ``RefusedStarts`` tells."""
    busy = Busy()
    where = f"{gethostname()} {settings.api.host}:{settings.api.port}"
    links = Links(settings.api_url, settings.prefect_ui_url)
    comfy = Address.of(settings.comfy.url or DEFAULT_COMFY_URL, settings.comfy.ca_file)
    async with (
        Store(
            settings.store_url,
            settings.images_url,
            patience_s=LOCKED_S,
            start_delay_s=START_DELAY_S,
        ) as store,
        FlowRuns(
            settings.prefect_api_url,
            store.identity,
            take_over_from=settings.prefect.take_over,
        ) as runs,
        _own_pool(runs),
        DeployedWorkflows(store, runs) as deployed,
        Dispatcher(
            store,
            runs,
            busy,
            workflows=deployed,
            name=f"dispatcher {where}",
            lease_s=settings.recovery.lease_s,
        ) as dispatcher,
        Reconciler(
            store,
            runs,
            look_every_s=settings.recovery.look_every_s,
            lease_s=settings.recovery.lease_s,
            housekeeping=Housekeeping(
                store, settings.retention, settings.uploads, Schedules(runs).uploads
            ),
        ) as reconciler,
        PauseWatch(store, default_pool()) as pauses,
        CatalogueCache(store, comfy) as catalogue,
        NodesCache(store, comfy, paid_nodes=settings.comfy.paid_nodes) as nodes,
        ModelsCache(store, comfy.url) as models,
        aclosing(ComfyClient(comfy, timeout_s=WITHIN_S)) as client,
    ):
        disk = DiskReserve(settings.local_folders, settings.store.reserve_mb)
        facade = Facade(
            store,
            dispatcher,
            pauses,
            catalogue,
            links,
            disk,
            settings.comfy.default_model,
            settings.webhooks.allowed,
            nodes,
            models,
            settings.wildcards,
            client,
            settings.store.file_max_mb * 1_000_000,
        )
        received = UploadFacade(store, settings.uploads, settings.incoming, disk)
        await received.tidy()
        fleet = WorkerFacade(store, facade.estimates)
        batches = BatchFacade(facade, reconciler, runs, settings.wildcards)
        async with Deliverer(
            store,
            _sender(settings, store),
            Bodies(facade, batches),
            retry_after_s=settings.webhooks.retry_after_s,
            name=f"deliverer {where}",
            lease_s=settings.recovery.lease_s,
            busy=busy,
        ) as deliverer:
            yield Context(
                facade=facade,
                runs=runs,
                settings=settings,
                busy=busy,
                figures=Figures(facade),
                workers=fleet,
                batches=batches,
                schedules=ScheduleFacade(Schedules(runs), batches, links),
                deliveries=DeliveryFacade(store, deliverer),
                followed=Followed(facade),
                uploads=received,
                models=ModelFacade(facade),
                workflows=WorkflowFacade(
                    store,
                    settings.api_url,
                    deployed.wake,
                    nodes,
                    facade.estimates.live_workers,
                    paid_nodes=settings.comfy.paid_nodes,
                ),
            )


def _sender(settings: Settings, store: Store) -> Sender:
    """Returns what sends to receivers: never to Easel's own services, nor into its network."""
    guard = Guard(settings.webhooks.allowed, OwnServices(settings, store.registry))
    return Sender(guard, trust(settings.webhooks.ca_file), settings.webhooks.timeout_s)
