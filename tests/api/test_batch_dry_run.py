"""A dry run says what a create would make, and makes nothing."""

from __future__ import annotations

from uuid import uuid4

from core.fields import SEED_MAX
from tests.api.batch_calls import (
    CSV,
    SD15,
    SDXL,
    accepted,
    places,
    post,
    requests,
)
from tests.api.service import (
    BATCHES,
    Service,
)


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(service: Service) -> None:
    before = service.batch_counts()
    body = f"prompt,model,count\na {{red|blue|green}} fox,,3\nan owl,{SDXL},1\n"

    response = post(service, body, CSV, dry_run="true")

    assert response.status_code == 200
    plan = response.json()
    assert (plan["total"], plan["models"]) == (4, {SD15: 3, SDXL: 1})
    assert plan["skipped"] == []
    assert 0 <= plan["seed"] <= SEED_MAX
    assert "location" not in response.headers
    assert service.batch_counts() == before
    made = accepted(post(service, body, CSV, seed=plan["seed"]))
    assert plan["samples"] == requests(service, made)


def test_a_dry_run_of_json_is_asked_for_in_the_address(service: Service) -> None:
    before = service.batch_counts()

    response = service.client.post(
        f"{BATCHES}?dry_run=true", json={"defaults": {"prompt": "a fox"}, "count": 50}
    )

    assert response.status_code == 200
    assert (response.json()["total"], len(response.json()["samples"])) == (50, 10)
    assert service.batch_counts() == before


def test_a_dry_run_refuses_what_a_create_refuses(service: Service) -> None:
    body = "prompt,steps\na fox,0\n"

    assert places(post(service, body, CSV, dry_run="true")) == places(post(service, body, CSV))


def test_a_dry_run_uses_no_key_up(service: Service) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    dry = post(service, "prompt\na fox\n", {**CSV, **key}, dry_run="true")
    assert dry.status_code == 200

    assert post(service, "prompt\nan owl\n", {**CSV, **key}).status_code == 202
