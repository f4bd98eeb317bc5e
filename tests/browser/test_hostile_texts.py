"""Texts that clients send are shown as texts, whatever is in them."""

from __future__ import annotations

from typing import Final

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_S, connected
from tests.browser.house import Api, Worker, resolved
from tests.harness.receiver import CallbackReceiver, answers
from tests.harness.waiting import wait_until

_RUN: Final = "window.ran=1"
PAYLOADS: Final = (
    f"<script>{_RUN}</script>",
    f"<img src=x onerror={_RUN}>",
    f'"><svg onload={_RUN}>',
    f"'-({_RUN})-'",
    f"</script><script>{_RUN}</script>",
    "</textarea><iframe srcdoc='<script>parent.ran=1</script>'>",
    f"{{{{constructor.constructor('{_RUN}')()}}}}",
    f"${{{_RUN}}}",
    f"[click](javascript:{_RUN})",
    f"<a href=javascript:{_RUN} autofocus onfocus={_RUN}>",
)


def test_no_text_runs(page: Page, api: Api, worker: Worker) -> None:
    made = [
        worker.seed(resolved(text, negative_prompt=text, metadata={"label": text}))
        for text in PAYLOADS
    ]
    batch = api.begin_batch(
        name=PAYLOADS[0], wildcards=False, items=[{"prompt": text} for text in PAYLOADS]
    )
    wait_until(lambda: api.batch(batch)["status"] == "succeeded", "the batch", within=PATIENCE_S)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    places = ["/", "/history", "/bulk", "/schedules", f"/b/{batch}", *(f"/g/{id_}" for id_ in made)]
    for place in [*places, f"/history?q={PAYLOADS[1]}", f"/?g={PAYLOADS[1]}", f"/{PAYLOADS[1]}"]:
        page.goto(place)
        expect(page.locator("body")).to_be_visible()
        if not place.endswith(">"):
            connected(page)
        assert page.evaluate("window.ran") is None, place
        assert page.locator("img[onerror], svg[onload], iframe").count() == 0, place
    page.goto(f"/g/{made[0]}")
    expect(page.get_by_role("heading", name=PAYLOADS[0])).to_be_visible()  # as a text
    assert dialogs == []


def test_no_answer_of_a_receiver_runs(page: Page, api: Api, worker: Worker) -> None:
    del worker  # it is at work
    answer = "\n".join(PAYLOADS).encode()
    with CallbackReceiver(answers(500, body=answer)) as receiver:
        made = api.create(prompt="a fox", steps=2, callback_url=receiver.url)
        batch = api.begin_batch(
            name="foxes", items=[{"prompt": "a fox", "steps": 2}], callback_url=receiver.url
        )
        receiver.wait_for(2, within=PATIENCE_S)
        for place in (f"/g/{made}", f"/b/{batch}"):
            page.goto(place)
            connected(page)
            page.locator("summary", has_text="1 try").click()
            expect(page.locator(".answer-text")).to_contain_text(PAYLOADS[0])  # as a text
            assert page.evaluate("window.ran") is None, place
            assert page.locator("img[onerror], svg[onload], iframe").count() == 0, place
