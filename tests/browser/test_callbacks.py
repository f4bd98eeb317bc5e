"""Deliveries to a real receiver, as a visitor sees them arrive or not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenContext, connected
from tests.browser.house import Api, Worker
from tests.browser.test_looks import PHONE
from tests.harness.receiver import CallbackReceiver, answers

_LONG = b"no such hook: " + b"unbroken" * 80


@pytest.fixture
def receiver() -> Iterator[CallbackReceiver]:
    with CallbackReceiver(answers(500, body=_LONG), answers(200, body=b"thanks")) as receiver:
        yield receiver


def state(page: Page) -> Locator:
    return page.locator(".delivery-state")


def test_a_delivery_that_fails_is_tried_again_by_hand(
    page: Page, api: Api, worker: Worker, receiver: CallbackReceiver
) -> None:
    worker.hold(step=1)
    made = api.create(prompt="a red fox", callback_url=receiver.url)
    page.goto(f"/g/{made}")
    connected(page)
    expect(page.locator(".callbacks-sum")).to_have_text("nothing sent yet")
    worker.go_on()
    expect(page.locator(".callbacks-sum")).to_have_text("1 pending")
    page.locator(".callbacks > summary").click()
    expect(state(page)).to_have_text("Pending")
    expect(page.get_by_text(re.compile("Next try: (today|tomorrow) "))).to_be_visible()
    tries = page.locator(".delivery-tries")
    tries.locator("summary").click()
    expect(tries.get_by_text("Status 500")).to_be_visible()
    expect(tries.get_by_text("no such hook")).to_be_visible()

    receiver.pause()
    page.get_by_role("button", name="Try now").dblclick()
    receiver.wait_for(2)
    expect(page.get_by_role("button", name="Sending…")).to_be_disabled()
    receiver.resume()
    expect(state(page)).to_have_text("Delivered")
    expect(tries.get_by_text("Status 200")).to_be_visible()  # what was unfolded stays so
    expect(tries.locator(".attempt")).to_have_count(2)
    first, second = receiver.requests
    assert first.webhook_id == second.webhook_id


def test_a_delivered_event_is_delivered_again(
    page: Page, api: Api, worker: Worker, receiver: CallbackReceiver
) -> None:
    del worker  # it is at work
    receiver.script[:] = [answers(200)]
    batch = api.begin_batch(
        name="foxes", defaults={"prompt": "a fox", "steps": 2}, callback_url=receiver.url
    )
    receiver.wait_for(1)
    page.goto(f"/b/{batch}")
    connected(page)
    expect(page.locator(".callbacks-sum")).to_have_text("1 delivered")
    page.locator(".callbacks > summary").click()
    page.get_by_role("button", name="Deliver again").click()
    receiver.wait_for(2)
    expect(page.locator(".delivery-tries summary")).to_have_text("2 tries")
    expect(state(page)).to_have_text("Delivered")


@pytest.mark.parametrize("of_batch", [False, True], ids=["image", "batch"])
def test_a_long_answer_fits_on_a_phone(
    visitor: OpenContext, api: Api, worker: Worker, receiver: CallbackReceiver, of_batch: bool
) -> None:
    del worker  # it is at work
    asked = {"prompt": "a fox", "steps": 2}
    place = (
        f"/b/{api.begin_batch(defaults=asked, callback_url=receiver.url)}"
        if of_batch
        else f"/g/{api.create(**asked, callback_url=receiver.url)}"
    )
    receiver.wait_for(1)
    page = visitor(**PHONE).new_page()
    page.goto(place)
    connected(page)
    page.locator(".delivery-tries summary").click()
    expect(page.locator(".answer-text")).to_contain_text("unbroken")
    inside = "e => e.scrollWidth <= e.clientWidth"
    assert page.locator("html").evaluate(inside)
    assert page.locator(".answer").evaluate(inside)
