"""Schedules over HTTP, with a real Prefect: those made here, and whatever else Prefect keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID
from zoneinfo import available_timezones

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

from flows.bulk import bulk
from flows.prefect.declared import default_pool
from flows.prefect.deployments import prepare_pool, register_deployments
from flows.prefect.private.schedules import cron_times, interval_times
from flows.prefect.runs import FlowRuns
from flows.prefect.schedules import Schedules
from flows.worker.deployed_flows import DeployedFlows
from tests.api.conftest import until_catalogue
from tests.api.service import SCHEDULES, Backstage, Comfy, Service
from tests.flows.prefect_server import Server
from tests.harness.databases import a_store
from tests.harness.faults import Replace, Rule
from tests.harness.proxy import FaultProxy
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.timeout(300)
NIGHTLY: Final[dict[str, Any]] = {
    "name": "nightly",
    "cron": "0 2 * * *",
    "batch": {"defaults": {"prompt": "a fox"}},
}
ALL_DAY: Final = {"batch": {"defaults": {"prompt": "a heron"}}, "catch_up_minutes": 7}


@pytest.fixture(scope="module")
def service(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    a_store(home / "easel.db")
    with (
        Backstage() as backstage,
        Comfy(backstage) as comfy,
        Service(backstage, home, comfy.url, str(server.http.base_url).rstrip("/")) as service,
    ):
        until_catalogue(service)
        yield service


@pytest.fixture(scope="module")
def batch(server: Server) -> Iterator[str]:
    """The deployment ``bulk/batch``, as the worker registers it; its id."""
    server.post("/work_pools/", name="of schedules", type="comfyui")
    made = server.post(
        "/deployments/",
        name="batch",
        flow_id=server.post("/flows/", name="bulk"),
        entrypoint="flows.bulk.bulk",
        work_pool_name="of schedules",
    )
    yield made
    server.http.delete(f"/deployments/{made}")


def put(server: Server, deployment: str, schedule: dict[str, Any], **more: Any) -> str | None:
    """Add a schedule as Prefect's UI does; its id. None if Prefect refuses it."""
    path = f"/deployments/{deployment}/schedules"
    answer = server.http.post(path, json=[{"schedule": schedule, "active": True, **more}])
    if answer.status_code != 201:
        assert answer.status_code in {409, 422}, answer.text
        return None
    [made] = answer.json()
    return str(made["id"])


def shown(service: Service, schedule_id: str) -> dict[str, Any]:
    """The schedule, which the list has too."""
    answer = service.get(f"{SCHEDULES}/{schedule_id}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    listed = service.get(SCHEDULES)
    assert listed.status_code == 200, listed.text
    assert schedule_id in [item["schedule_id"] for item in listed.json()["items"]]
    return document


def change(service: Service, schedule_id: str, **fields: Any) -> dict[str, Any]:
    answer = service.client.patch(f"{SCHEDULES}/{schedule_id}", json=fields)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def delete(service: Service, schedule_id: str) -> None:
    assert service.client.delete(f"{SCHEDULES}/{schedule_id}").status_code == 204
    assert service.get(f"{SCHEDULES}/{schedule_id}").status_code == 404


def stored(server: Server, deployment: str, schedule_id: str) -> dict[str, Any]:
    found = server.http.get(f"/deployments/{deployment}/schedules").json()
    [one] = [one for one in found if one["id"] == schedule_id]
    return dict(one)


def moments(texts: list[str]) -> list[datetime]:
    return [datetime.fromisoformat(text) for text in texts]


# --- whatever Prefect keeps is shown, paused and deleted

_ZONES: Final = [
    "UTC",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "localtime",
    "Factory",
    "",
    "nowhere",
]
_RULES: Final = ["FREQ=DAILY", "FREQ=WEEKLY;COUNT=1", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"]
_zone = st.sampled_from(_ZONES) | st.sampled_from(sorted(available_timezones())) | st.none()
_numbers = st.sampled_from(["*", "0", "2-2", "*/7", "1,15", "22-4", "30", "L"])
_cron = st.builds(
    "{} {} {} {} {}".format,
    _numbers,
    _numbers,
    _numbers,
    st.sampled_from(["*", "2", "JAN-JAN", "11-2"]),
    st.sampled_from(["*", "5", "FRI-MON", "0-7", "5#2", "L5"]),
) | st.sampled_from(["0 0 30 2 *", "@daily", "0 0 2 * * *", "* * * * * *", "0 0 1 1 * 0 2020"])
_interval = st.floats(1e-6, 1e12) | st.sampled_from([1, 86_400, 86_400.5, 31_536_000])
_anchor = st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T00:00:00+14:00", "2020-02-30"])
_of_cron = st.fixed_dictionaries(
    {"cron": _cron}, optional={"timezone": _zone, "day_or": st.booleans()}
)
_of_interval = st.fixed_dictionaries(
    {"interval": _interval}, optional={"timezone": _zone, "anchor_date": _anchor}
)
_of_rule = st.fixed_dictionaries(
    {"rrule": st.sampled_from(_RULES)}, optional={"timezone": _zone | st.just("noESTwhere")}
)
_schedule = _of_cron | _of_interval | _of_rule
_odd = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just({"items": "x"})
_parameters = st.fixed_dictionaries({}, optional={"batch": _odd, "catch_up_minutes": _odd})


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(schedule=_schedule, parameters=_parameters)
def test_what_prefect_accepts_is_shown_paused_and_deleted(
    server: Server,
    service: Service,
    batch: str,
    schedule: dict[str, Any],
    parameters: dict[str, Any],
) -> None:
    made = put(server, batch, schedule, parameters=parameters)
    if made is None:
        return
    document = shown(service, made)
    assert document["active"]
    assert document["next_runs"] or document["note"]
    paused = change(service, made, active=False)
    assert (paused["active"], paused["next_runs"]) == (False, [])
    assert stored(server, batch, made)["parameters"] == parameters
    delete(service, made)


@pytest.mark.parametrize(
    ("kept", "note"),
    [
        ({"cron": "0 0 30 2 *"}, "it never comes"),
        ({"interval": 1e12}, "it is too far away"),
        ({"interval": 86_400, "timezone": ""}, "cannot compute its times"),
        ({"rrule": "FREQ=DAILY", "timezone": "Factory"}, "planned no run of it yet"),
    ],
)
def test_why_there_are_no_next_runs_is_told(
    server: Server, service: Service, batch: str, kept: dict[str, Any], note: str
) -> None:
    made = put(server, batch, kept)
    assert made is not None
    document = shown(service, made)
    assert document["next_runs"] == []
    assert note in document["note"]
    delete(service, made)


@pytest.mark.parametrize(
    "raw",
    [
        {"cron": "nonsense", "timezone": "UTC"},
        {"cron": "0 2 * * *", "timezone": "US/Atlantis"},
        {"cron": "0 2 * * *", "later": 1},
        {"interval": -5.0},
        {"x": 1},
        [],
    ],
)
def test_what_another_version_of_prefect_has_stored_is_shown_too(
    server: Server, service: Service, batch: str, raw: Any
) -> None:
    """With Easel's own Prefect server, which would answer 500 for all of that deployment."""
    made = put(server, batch, {"cron": "0 2 * * *"})
    assert made is not None
    statement = "UPDATE deployment_schedule SET schedule = ? WHERE id = ?"
    assert server.execute(statement, json.dumps(raw), str(UUID(made))) == 1

    document = shown(service, made)
    assert (document["next_runs"], document["active"]) == ([], True)
    assert document["note"]
    assert json.loads(document["rrule"]) == raw
    change(service, made, active=False)
    delete(service, made)


def test_what_prefect_would_plan_by_a_rule_is_shown(
    server: Server, service: Service, batch: str
) -> None:
    made = put(server, batch, {"rrule": "FREQ=DAILY", "timezone": "Europe/Berlin"})
    assert made is not None

    def planned() -> list[str]:
        return list(shown(service, made)["next_runs"])

    times = moments(wait_until(planned, "Prefect's scheduler", within=100))
    assert {(later - time).days for time, later in pairwise(times)} <= {0, 1}
    assert len(times) == 3
    document = shown(service, made)
    assert (document["cron"], document["interval_s"], document["note"]) == (None, None, None)
    assert document["rrule"].endswith("FREQ=DAILY")
    moved = change(service, made, timezone="Asia/Tokyo")
    assert (moved["timezone"], moved["rrule"]) == ("Asia/Tokyo", document["rrule"])
    delete(service, made)


# --- what is changed, and what stays


def test_a_new_zone_leaves_day_or_and_anchor_as_they_were(
    server: Server, service: Service, batch: str
) -> None:
    both = put(server, batch, {"cron": "0 0 13 * 5", "timezone": "UTC", "day_or": False})
    anchor = "2026-01-05T06:00:03Z"
    every = put(server, batch, {"interval": 5400, "timezone": "UTC", "anchor_date": anchor})
    assert both is not None
    assert every is not None
    document = shown(service, both)
    assert document["day_or"] is False
    now = datetime.now(UTC)
    assert moments(document["next_runs"]) == cron_times("0 0 13 * 5", "UTC", now, 3, day_or=False)

    change(service, both, timezone="Asia/Tokyo")
    assert stored(server, batch, both)["schedule"] == {
        "cron": "0 0 13 * 5",
        "timezone": "Asia/Tokyo",
        "day_or": False,
    }
    moved = change(service, every, timezone="Asia/Tokyo")
    kept = stored(server, batch, every)["schedule"]
    assert datetime.fromisoformat(kept["anchor_date"]) == datetime.fromisoformat(anchor)
    assert moments(moved["next_runs"]) == interval_times(5400, "Asia/Tokyo", anchor, now, 3)
    for one in (both, every):
        delete(service, one)


def test_the_batch_of_one_schedule_is_not_that_of_the_others_of_its_deployment(
    server: Server, service: Service, batch: str
) -> None:
    made = put(server, batch, {"cron": "0 2 * * *"}, parameters=ALL_DAY)
    other = put(server, batch, {"cron": "0 3 * * *"})
    assert made is not None
    assert other is not None
    assert shown(service, made)["catch_up_minutes"] == 7

    changed = change(service, made, batch={"defaults": {"prompt": "an owl"}}, active=False)
    assert changed["batch"] == {"defaults": {"prompt": "an owl"}, "vary_seed": False}
    assert shown(service, made) == changed
    assert shown(service, other)["batch"] == {}
    for one in (made, other):
        delete(service, one)


def test_a_schedule_of_an_earlier_version_takes_what_this_one_knows(
    server: Server, service: Service, batch: str
) -> None:
    """Prefect checks parameters by the schema that its deployment was made with."""
    service.worker.run(service.worker.store.callbacks.add("shop", "https://shop.example/"))
    former, now = parameter_schema(bulk).model_dump(), parameter_schema(bulk).model_dump()
    for field in ("callback", "callback_events", "vary_seed"):
        del former["definitions"]["FlowBatchRequest"]["properties"][field]
    as_of(server, batch, former)
    made = put_own(server, former)
    as_of(server, batch, now)

    wanted = {"defaults": {"prompt": "an owl"}, "callback": "shop"}
    changed = change(service, made, batch=wanted)
    assert changed["batch"] == {**wanted, "vary_seed": False}
    assert shown(service, made) == changed
    delete(service, made)
    as_of(server, batch, {})


def as_of(server: Server, deployment: str, schema: dict[str, Any]) -> None:
    """Let the deployment be as a version with this schema of parameters registers it."""
    answer = server.http.patch(
        f"/deployments/{deployment}", json={"parameter_openapi_schema": schema}
    )
    assert answer.is_success, answer.text


def put_own(server: Server, schema: dict[str, Any]) -> str:
    """A schedule with a deployment of its own, as that version made it."""
    like = server.http.get("/deployments/name/bulk/batch").json()
    own = server.post(
        "/deployments/",
        name="of before",
        flow_id=like["flow_id"],
        entrypoint=like["entrypoint"],
        work_pool_name=like["work_pool_name"],
        parameter_openapi_schema=schema,
        parameters={"batch": {"defaults": {"prompt": "a fox"}}},
        tags=["easel", "schedule"],
    )
    schedule = put(server, own, {"cron": "0 2 * * *"})
    assert schedule is not None
    return schedule


@pytest.mark.parametrize(
    "batch_with_url",
    [
        {"callback_url": "https://shop.example/"},
        {"defaults": {"callback_url": "https://shop.example/"}},
        {"items": [{"prompt": "a", "callback_url": "https://shop.example/"}]},
    ],
)
def test_prefect_stores_no_run_with_a_receivers_url(
    server: Server, batch: str, batch_with_url: dict[str, Any]
) -> None:
    as_of(server, batch, parameter_schema(bulk).model_dump())
    before = server.select("SELECT count(*) FROM flow_run")
    answer = server.http.post(
        f"/deployments/{batch}/create_flow_run", json={"parameters": {"batch": batch_with_url}}
    )
    # Not 422: that is how Prefect answers to parameters against a deployment's schema.
    assert answer.status_code == 409, answer.text
    assert "callback_url" in answer.text
    assert server.select("SELECT count(*) FROM flow_run") == before
    named = {"callback": "shop", "callback_events": ["batch.failed", "generation.failed"]}
    taken = server.http.post(
        f"/deployments/{batch}/create_flow_run",
        json={"parameters": {"batch": {**named, "items": [{"prompt": "a", "callback": "shop"}]}}},
    )
    assert taken.status_code == 201, taken.text
    as_of(server, batch, {})


def test_a_receivers_url_in_a_schedule_of_prefects_is_told_and_not_shown(
    server: Server, service: Service, batch: str
) -> None:
    url = "https://shop.example/zx81canary"
    for fields, at in (
        ({"callback_url": url}, "callback_url"),
        ({"defaults": {"callback_url": url}}, "defaults.callback_url"),
        ({"items": [{"prompt": "a", "callback_url": url}]}, "items.0.callback_url"),
    ):
        made = put(server, batch, {"cron": "0 2 * * *"}, parameters={"batch": fields})
        assert made is not None
        document = shown(service, made)
        assert f"its batch cannot be created ({at}: is not taken here" in document["note"]
        assert "callback_url" not in json.dumps(document["batch"])
        assert "zx81canary" not in json.dumps(document)
        delete(service, made)


# --- an error leaves nothing


def create(service: Service, **fields: Any) -> httpx.Response:
    return service.client.post(SCHEDULES, json={**NIGHTLY, **fields})


@pytest.mark.usefixtures("batch")
@pytest.mark.parametrize("zone", ["localtime", "Europe/Berlin", "Factory"])
def test_a_schedule_is_made_with_the_times_of_its_zone(service: Service, zone: str) -> None:
    answer = create(service, timezone=zone)
    if zone not in available_timezones():
        assert answer.status_code == 422
        return
    assert answer.status_code == 201, answer.text
    made = answer.json()
    now = datetime.now(UTC)
    assert moments(made["next_runs"]) == cron_times("0 2 * * *", zone, now, 3)
    assert made["note"] is None
    assert shown(service, made["schedule_id"]) == made
    delete(service, made["schedule_id"])


@pytest.mark.usefixtures("batch")
def test_an_equal_range_is_stored_as_the_value_that_it_is(service: Service) -> None:
    made = create(service, cron="0 2-2 * * *").json()
    assert made["cron"] == "0 2 * * *"
    assert [time.hour for time in moments(made["next_runs"])] == [2, 2, 2]
    delete(service, made["schedule_id"])


@pytest.mark.usefixtures("batch")
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"timezone": "posix/UTC"}, "does not know"),
        ({"timezone": "posixrules"}, "does not know"),
        ({"timezone": "europe/berlin"}, "perhaps Europe/Berlin"),
        ({"timezone": "Berlin"}, "perhaps Europe/Berlin"),
        ({"cron": "0 0 30 2 *"}, "never comes"),
        ({"name": " \n"}, "must not be blank"),
        ({"name": "a\nb"}, "must be printable"),
        ({"name": "\x01"}, "must be printable"),
        ({"name": "abc\u202egnp"}, "must be printable"),
    ],
)
def test_what_is_refused_leaves_nothing_in_prefect(
    service: Service, server: Server, fields: dict[str, Any], words: str
) -> None:
    before = server.select("SELECT count(*) FROM deployment_schedule")
    answer = create(service, **fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert server.select("SELECT count(*) FROM deployment_schedule") == before


@pytest.mark.usefixtures("batch")
def test_a_schedule_is_made_though_prefects_answer_cannot_be_read(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    a_store(home / "easel.db")
    assert server.http.base_url.port is not None
    with (
        Backstage() as backstage,
        Comfy(backstage) as comfy,
        FaultProxy(server.http.base_url.port) as between,
        Service(backstage, home, comfy.url, f"{between.url}/api") as service,
    ):
        until_catalogue(service)
        spoilt = Replace(b'"flow_id"', b'"flow_??"')
        lost = between.add(Rule(spoilt, method="POST", path=re.compile("/api/deployments/$")))
        answer = create(service, name="once")
        assert lost.hits
        assert answer.status_code == 201, answer.text
        listed = service.get(SCHEDULES).json()["items"]
        assert [item["name"] for item in listed].count("once") == 1
        delete(service, answer.json()["schedule_id"])


@pytest.mark.usefixtures("batch")
def test_a_name_has_one_form(service: Service) -> None:
    made = create(service, name=" cafe\u0301 \U0001f468\u200d\U0001f469 ").json()
    assert made["name"] == "caf\u00e9 \U0001f468\u200d\U0001f469"
    delete(service, made["schedule_id"])


async def test_an_odd_schedule_of_a_deployment_stops_nothing_that_uses_it(
    server: Server, batch: str
) -> None:
    """Prefect's client cannot read such a deployment: the worker would take no run any more."""
    odd = put(server, batch, {"rrule": "FREQ=DAILY", "timezone": "Factory"})
    assert odd is not None
    url = str(server.http.base_url).rstrip("/")
    run = FlowRun(flow_id=UUID(int=1), deployment_id=UUID(batch))
    with temporary_settings({PREFECT_API_URL: url}):
        async with FlowRuns(url) as runs:
            with pytest.raises(ValidationError):
                await runs.client.read_deployment(UUID(batch))
            assert await runs.deployment("bulk/batch") == UUID(batch)
            entrypoint = await DeployedFlows().name_of(runs.client, run)
            assert entrypoint == "flows.bulk.bulk"
            await prepare_pool(runs.client, default_pool(), "comfyui")
            await register_deployments(runs.client)
            assert await runs.deployment("generate/comfyui") != UUID(batch)
            await runs.client.delete_deployment_schedule(UUID(batch), UUID(odd))
            await register_deployments(runs.client)


def test_uploads_that_schedules_refer_to_are_known(service: Service, batch: str) -> None:
    """Of a schedule that was added here; nothing else says which uploads it needs."""
    upload_id = "ab" * 32
    labels = {"image": f"upload:{upload_id}"}
    wanted = {**NIGHTLY, "batch": {"defaults": {"prompt": "a fox", "metadata": labels}}}
    made = service.client.post(SCHEDULES, json=wanted)
    assert made.status_code == 201, made.text
    runs = service.app.state.context.runs

    assert upload_id in service.in_its_loop(Schedules(runs).uploads())
    delete(service, made.json()["schedule_id"])
    assert upload_id not in service.in_its_loop(Schedules(runs).uploads())
