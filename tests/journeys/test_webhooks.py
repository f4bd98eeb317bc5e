"""Callbacks as a user tries them out and an operator looks after them: by the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from tests.harness.processes import Process, free_port
from tests.harness.receiver import CallbackReceiver, answers
from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey
EASEL: Final = (sys.executable, "-P", "-m", "cli.main")
DELIVERIES: Final = "/api/v1/deliveries"
SUCCESS: Final = "generation.succeeded"
SMALL: Final = ("--width", "64", "--height", "64", "--steps", "2")


class Listener:
    """`easel webhooks listen` beside a stack."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        port = str(free_port())
        self.url = f"http://127.0.0.1:{port}/"
        command = [*EASEL, "webhooks", "listen", "--port", port]
        self._process = Process("listen", command, stack.env, folder)

    def start(self) -> None:
        self._process.start()
        wait_until(lambda: self.url in self.said, "its introduction")

    def stop(self) -> int:
        return self._process.terminate()

    @property
    def said(self) -> str:
        log = self._process.log
        return log.read_text() if log.exists() else ""

    def events(self) -> list[str]:
        """What it printed of each event."""
        return re.split(r"^\d\d:\d\d:\d\d ", self.said, flags=re.MULTILINE)[1:]

    def wait_for(self, *texts: str) -> str:
        """What it printed of the event that has them all."""

        def found() -> str | None:
            return next((one for one in self.events() if all(text in one for text in texts)), None)

        event = wait_until(found, lambda: f"{texts} in {self.said}")
        assert event is not None
        return event


@pytest.fixture
def listener(stack: Stack, tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(stack, tmp_path)
    listener.start()
    yield listener
    listener.stop()


@pytest.fixture
def receiver() -> Iterator[CallbackReceiver]:
    with CallbackReceiver() as receiver:
        yield receiver


def easel(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EASEL, *arguments],
        env={**stack.env, "EASEL_API_URL": str(stack.api.base_url)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def done(stack: Stack, *arguments: str) -> str:
    """The output of a command that succeeds."""
    ended = easel(stack, *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def delivery_of(stack: Stack, task_id: str, state: str) -> dict[str, Any]:
    """The delivery of a generation's success, once it is in that state.

    That of its start may be in it before: a receiver has an event before Easel has its answer.
    """

    def found() -> dict[str, Any] | None:
        items = stack.api.get(DELIVERIES, params={"task_id": task_id, "state": state}).json()
        return next((one for one in items["items"] if one["type"] == SUCCESS), None)

    delivery = wait_until(found, lambda: f"{state}; there are {stack.api.get(DELIVERIES).text}")
    assert delivery is not None
    return delivery


def test_an_event_is_printed_verified(stack: Stack, listener: Listener, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path), "--json")
    made = done(stack, "generate", "told", *SMALL, *out, "--callback-url", listener.url)
    [outcome] = json.loads(made)
    event = listener.wait_for("✓ verified  generation.succeeded", outcome["task_id"])
    link = re.search(r"image +(http\S+)", event)
    assert link is not None
    assert httpx.get(link[1]).headers["content-type"] == "image/png"

    wanted = ["generation.running", "generation.succeeded"]
    by_http = stack.create("told too", callback_url=listener.url, callback_events=wanted)
    listener.wait_for("✓ verified  generation.succeeded", by_http.id)
    types = [one.partition("\n")[0] for one in listener.events() if by_http.id in one]
    assert types == [f"✓ verified  {wanted[-1]}"] or types == [f"✓ verified  {e}" for e in wanted]

    one = delivery_of(stack, by_http.id, "delivered")["delivery_id"]
    assert "sent again" in done(stack, "webhooks", "redeliver", one)
    listener.wait_for("✓ verified", one, "again: a repeat")
    assert "NOT verified" not in listener.said
    assert listener.stop() == 0


def test_rows_of_a_file_have_callbacks_of_their_own(
    stack: Stack, listener: Listener, tmp_path: Path
) -> None:
    rows = [("a", listener.url), ("b", ""), ("c", f"{listener.url}c")]
    lines = [f"{prompt},64,64,1,{url}" for prompt, url in rows]
    file = tmp_path / "told.csv"
    file.write_text("\n".join(["prompt,width,height,steps,callback_url", *lines]))

    said = done(stack, "bulk", str(file), "--callback-url", listener.url)

    batch = listener.wait_for("✓ verified  batch.succeeded")
    assert "name     told" in batch
    assert "items    3 succeeded" in batch
    batch_id = re.search(r"batch +(\S+)", batch)
    assert batch_id is not None
    assert batch_id[1] in said
    told = {item["request"]["prompt"]: item for item in stack.history(batch_id=batch_id[1])}
    for prompt in ("a", "c"):
        listener.wait_for("✓ verified  generation.succeeded", told[prompt]["task_id"])
    listed = json.loads(done(stack, "webhooks", "list", "--json", "--batch", batch_id[1]))
    of_items = [one["task_id"] for one in listed["deliveries"] if one["task_id"]]
    assert sorted(of_items) == sorted(told[prompt]["task_id"] for prompt in ("a", "c"))


def test_the_secret_is_rotated_while_receivers_have_either(
    stack: Stack, receiver: CallbackReceiver
) -> None:
    [*_, former] = done(stack, "webhooks", "secret", "--retire").split()
    [new, second] = done(stack, "webhooks", "secret", "--rotate").split()
    assert second == former
    stack.create("signed twice", callback_url=receiver.url)
    [both] = receiver.wait_for(1)
    assert both.verified(new) == both.verified(former)

    assert done(stack, "webhooks", "secret", "--retire").split() == [new]
    stack.create("signed once", callback_url=receiver.url)
    one = receiver.wait_for(2)[1]
    assert one.verified(new)["type"] == "generation.succeeded"
    with pytest.raises(WebhookVerificationError):
        one.verified(former)


def test_a_receiver_that_is_gone_is_switched_off_and_on_again(
    stack: Stack, receiver: CallbackReceiver
) -> None:
    receiver.script = [answers(410), answers(200)]
    done(stack, "webhooks", "add", "moody", receiver.url)
    try:
        first = stack.create("the last that it takes", callback="moody")
        gone = delivery_of(stack, first.id, "failed")
        assert [one["status"] for one in gone["tries"]] == [410]
        assert re.search("moody +http.+ +switched off", done(stack, "webhooks", "list"))

        second = stack.create("it is not told of", callback="moody")
        assert delivery_of(stack, second.id, "failed")["tries"] == []
        refused = easel(stack, "webhooks", "redeliver", gone["delivery_id"])
        assert refused.returncode == 1
        assert "easel webhooks enable moody" in refused.stderr
        assert len(receiver.requests) == 1

        done(stack, "webhooks", "enable", "moody")
        done(stack, "webhooks", "redeliver", gone["delivery_id"])
        delivery_of(stack, first.id, "delivered")
        assert [one.webhook_id for one in receiver.requests] == [gone["delivery_id"]] * 2
    finally:
        done(stack, "webhooks", "remove", "moody")


def test_a_test_event_reaches_a_receiver_and_no_service_of_easel(
    stack: Stack, listener: Listener
) -> None:
    done(stack, "webhooks", "test", listener.url)
    listener.wait_for("✓ verified  webhook.test", "sent by `easel webhooks test`")
    for url in (str(stack.api.base_url), stack.prefect_url, stack.comfy_url):
        refused = easel(stack, "webhooks", "test", url)
        assert refused.returncode == 1
        assert "a service of Easel itself" in refused.stderr
