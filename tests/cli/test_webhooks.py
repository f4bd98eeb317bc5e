"""`easel webhooks` as an operator runs it, on a real home and against real receivers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from core.callbacks.addresses import AllowedAddresses
from core.callbacks.callback import Callback, EventType
from core.settings import Settings
from flows.testing import InProcessWorker
from store.callbacks.values import Delivery, DeliveryFilter, DeliveryState
from store.store import Store
from tests.cli.running import EASEL, Ended, easel, easel_process, environment
from tests.harness.databases import a_store
from tests.harness.processes import free_port
from tests.harness.receiver import CallbackReceiver, answers, redirects, resets
from tests.store.making import a_request, wait_until
from webhooks.deliverer import Deliverer
from webhooks.guard import Guard
from webhooks.sending import Sender
from webhooks.trust import trust

ALLOW: Final = {"EASEL_WEBHOOKS__ALLOW": '["127.0.0.1"]'}
SHOP: Final = "https://shop.example/easel?token=zx81canary"
NOT_THERE: Final = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    """Open all the while, as by a running Easel."""
    async with Store(a_store(home / "easel.db"), Settings(home=home).images_url) as store:
        yield store


@pytest.fixture
def receiver() -> Iterator[CallbackReceiver]:
    with CallbackReceiver(path="/easel?token=zx81canary") as receiver:
        yield receiver


async def webhooks(home: Path, *arguments: str, **more: str) -> Ended:
    return await easel("webhooks", *arguments, home=home, more=more)


async def told(
    store: Store, *events: EventType, url: str | None = None, name: str | None = None
) -> Delivery:
    """A generation has succeeded, and its callback is to hear of it. Returns its first event."""
    callback = Callback(url=url, name=name, events=events or ("generation.succeeded",))
    made = (await store.acceptance.accept(a_request(), callback=callback)).generation
    await InProcessWorker(store).finish(made.id)
    page = await store.deliveries.page(DeliveryFilter(generation_id=made.id), 9, None)
    return page.items[-1]


@asynccontextmanager
async def delivering(store: Store, *retry_after_s: float) -> AsyncIterator[None]:
    """As the API does, while the block runs."""

    async def services() -> frozenset[Any]:
        return frozenset()

    async def render(delivery: Delivery) -> bytes:
        return json.dumps({"type": delivery.event}).encode()

    sender = Sender(Guard(AllowedAddresses.of(["127.0.0.1"]), services), trust(), 15)
    async with Deliverer(
        store, sender, render, retry_after_s=retry_after_s, name="test", lease_s=20
    ):
        yield


async def comes_to(store: Store, delivery_id: UUID, state: DeliveryState) -> None:
    async def is_there() -> bool:
        return (await store.deliveries.get(delivery_id)).state == state

    await wait_until(is_there)


# --- secrets


async def test_the_secret_is_printed_rotated_and_retired(store: Store, home: Path) -> None:
    [first] = await store.secrets.valid()
    shown = await easel_process("webhooks", "secret", home=home)
    assert (shown.code, shown.out) == (0, f"{first}\n")
    assert "Receivers verify by it" in shown.err

    rotated = await webhooks(home, "secret", "--rotate")
    new, former = rotated.out.splitlines()
    assert former == first
    assert new.startswith("whsec_")
    assert "easel webhooks secret --retire" in rotated.err
    assert await store.secrets.valid() == (new, former)
    assert (await webhooks(home, "secret")).out == rotated.out

    twice = await webhooks(home, "secret", "--rotate")
    newest, second = twice.out.splitlines()
    assert second == new
    assert "not valid any more" in twice.err
    assert "not valid any more" not in rotated.err

    retired = await webhooks(home, "secret", "--retire")
    assert (retired.code, retired.out) == (0, f"{newest}\n")
    assert await store.secrets.valid() == (newest,)


async def test_two_steps_of_a_rotation_are_not_taken_at_once(store: Store, home: Path) -> None:
    before = await store.secrets.valid()
    ended = await webhooks(home, "secret", "--rotate", "--retire")
    assert (ended.code, ended.out) == (2, "")
    assert "two steps" in ended.err
    assert await store.secrets.valid() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("secret",),
        ("add", "shop", SHOP),
        ("remove", "shop"),
        ("enable", "shop"),
        ("list",),
        ("redeliver", NOT_THERE),
        ("test", "shop"),
    ],
    ids=lambda arguments: str(arguments[0]),
)
async def test_without_a_store_each_says_so_and_makes_none(
    home: Path, arguments: tuple[str, ...]
) -> None:
    ended = await webhooks(home, *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert "there is no store" in ended.err
    assert "--home" in ended.err
    assert not (home / "easel.db").exists()
    elsewhere = home.parent / "elsewhere"
    again = await webhooks(home, *arguments, "--home", str(elsewhere))
    assert str(elsewhere) in again.err


# --- stored callbacks


async def test_a_callback_is_stored_changed_and_removed(store: Store, home: Path) -> None:
    added = await webhooks(home, "add", "shop", SHOP)
    assert added.code == 0
    assert "shop leads to shop.example" in added.out
    assert "--callback shop" in added.out
    assert added.err == ""
    changed = await webhooks(home, "add", "shop", "https://shop.example:8443/other")
    assert "now leads to shop.example:8443" in changed.out
    [stored] = await store.callbacks.all()
    assert (stored.name, stored.url) == ("shop", "https://shop.example:8443/other")

    removed = await webhooks(home, "remove", "shop")
    assert removed.code == 0
    assert await store.callbacks.all() == ()


async def test_a_url_with_a_secret_is_read_from_standard_input(store: Store, home: Path) -> None:
    assert await _added(home, SHOP.encode() + b"\n") == 0
    [stored] = await store.callbacks.all()
    assert stored.url == SHOP
    for wrong in (b"", b"https://shop.example/\xff\n"):
        assert await _added(home, wrong) == 2


async def _added(home: Path, said: bytes) -> int | None:
    process = await asyncio.create_subprocess_exec(
        *(*EASEL, "webhooks", "add", "shop", "-"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(home),
    )
    _, err = await process.communicate(said)
    assert b"Traceback" not in err
    return process.returncode


async def test_an_address_that_is_not_allowed_is_stored_with_the_setting_it_needs(
    store: Store, home: Path
) -> None:
    added = await webhooks(home, "add", "here", "http://127.0.0.1:9000/hook")
    assert added.code == 0
    assert """EASEL_WEBHOOKS__ALLOW='["127.0.0.1"]'""" in added.err
    assert await store.callbacks.names() == {"here"}
    assert (await webhooks(home, "add", "here", "http://127.0.0.1:9000/", **ALLOW)).err == ""


@pytest.mark.parametrize(
    ("name", "url", "why"),
    [
        ("shop", "ftp://shop.example/zx81canary", "must begin with http:// or https://"),
        ("shop", "shop.example/zx81canary", "must begin with http:// or https://"),
        ("shop", "https://user:zx81canary@shop.example", "user name and password"),
        ("shop", "https://shop.example/#zx81canary", "fragment"),
        ("shop", "https://shop.example/ä-zx81canary", "ASCII"),
        ("shop", "https:///zx81canary", "names no host"),
        ("a b", SHOP, "the name must be letters, digits"),
        ("n" * 65, SHOP, "the name"),
        ("", SHOP, "the name"),
    ],
)
async def test_what_is_no_callback_is_refused(
    store: Store, home: Path, name: str, url: str, why: str
) -> None:
    ended = await webhooks(home, "add", "--", name, url)
    assert (ended.code, ended.out) == (2, "")
    assert why in ended.err
    assert "zx81canary" not in ended.err
    assert await store.callbacks.all() == ()


@pytest.mark.parametrize("command", ["remove", "enable", "test"])
async def test_an_unknown_name_is_told_with_those_like_it(
    store: Store, home: Path, command: str
) -> None:
    await store.callbacks.add("shop", SHOP)
    ended = await webhooks(home, command, "shops")
    assert (ended.code, ended.out) == (1, "")
    assert "no callback called shops is stored; near matches: shop" in ended.err
    assert "zx81canary" not in ended.err


async def test_what_is_off_is_listed_and_switched_on_again(store: Store, home: Path) -> None:
    await store.callbacks.add("shop", SHOP)
    await store.callbacks.switch_off("shop", SHOP)
    await store.callbacks.switch_off(None, "https://old.example/hook")
    listed = await webhooks(home, "list")
    assert len(re.findall("switched off just now: it answered 410", listed.out)) == 2
    assert re.search(r"\(a bare URL\) +https://old.example/hook", listed.out)

    unknown = await webhooks(home, "enable", "https://other.example/hook?zx81canary")
    assert unknown.code == 1
    assert "easel webhooks list" in unknown.err
    assert "zx81canary" not in unknown.err
    by_url = await webhooks(home, "enable", SHOP)
    assert by_url.code == 1
    assert "`easel webhooks enable shop`" in by_url.err
    for which in ("shop", "https://old.example/hook"):
        assert (await webhooks(home, "enable", which)).code == 0
    [shop] = await store.callbacks.all()
    assert shop.off_at is None


# --- deliveries


async def test_nothing_is_listed_before_there_is_anything(store: Store, home: Path) -> None:
    listed = await webhooks(home, "list")
    assert listed.code == 0
    assert "easel webhooks add NAME URL" in listed.out
    assert "Nothing was to be delivered yet." in listed.out
    assert "no such delivery" in (await webhooks(home, "list", "--state", "failed")).out
    assert json.loads((await webhooks(home, "list", "--json")).out) == {
        "callbacks": [],
        "deliveries": [],
    }
    assert await store.callbacks.all() == ()


async def test_deliveries_are_listed_with_their_tries(
    store: Store, home: Path, receiver: CallbackReceiver
) -> None:
    receiver.script = [answers(500, body=b"busy \x1b[2J[red]"), answers(200)]
    await store.callbacks.add("shop", receiver.url)
    gone_wrong = await told(store, name="shop")
    async with delivering(store, 3600.0):
        await receiver.received(1)
        await wait_until(lambda: _has_tries(store, gone_wrong))
        taken = await told(store, url=receiver.url)
        await comes_to(store, taken.id, "delivered")
    lost = await told(store, name="nothing")

    listed = await webhooks(home, "list")
    assert listed.code == 0
    rows = {row.split()[0]: row for row in listed.out.splitlines() if row}
    host = f"127.0.0.1:{receiver.port}"
    pending = rf"generation\.succeeded +pending +shop {host} +1 +500 in \d+ ms +in \d+ min"
    assert re.search(pending, rows[str(gone_wrong.id)])
    assert re.search(rf"delivered +{host} +1 +200 in \d+ ms", rows[str(taken.id)])
    assert re.search(r"failed +nothing .*0 +no callback called nothing", rows[str(lost.id)])
    assert "\x1b" not in listed.out
    ids = re.findall(r"^[0-9a-f-]{36}", listed.out, re.MULTILINE)
    assert ids == [str(one.id) for one in (lost, taken, gone_wrong)]

    document = json.loads((await webhooks(home, "list", "--json")).out)
    [callback] = document["callbacks"]
    assert (callback["name"], callback["url"], callback["off_at"]) == ("shop", receiver.url, None)
    newest, _, oldest = document["deliveries"]
    assert (newest["state"], newest["callback"], newest["tries"]) == ("failed", "nothing", [])
    assert oldest["tries"][0]["status"] == 500
    assert oldest["tries"][0]["answer"].startswith("busy ")
    assert "zx81canary" not in json.dumps(document["deliveries"])


async def _has_tries(store: Store, delivery: Delivery) -> bool:
    return bool((await store.deliveries.get(delivery.id)).tries)


async def test_the_list_is_narrowed(store: Store, home: Path) -> None:
    one, other = await told(store, url=SHOP), await told(store, name="nothing")

    async def ids(*arguments: str) -> list[str]:
        ended = await webhooks(home, "list", "--json", *arguments)
        return [each["delivery_id"] for each in json.loads(ended.out)["deliveries"]]

    assert await ids() == [str(other.id), str(one.id)]
    assert await ids("--limit", "1") == [str(other.id)]
    assert await ids("--state", "pending") == [str(one.id)]
    assert await ids("--task", str(other.generation_id).upper()) == [str(other.id)]
    assert await ids("--batch", NOT_THERE) == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("list", "--state", "fialed"), "near matches: failed"),
        (("list", "--task", "7"), "7 is not the id of a generation"),
        (("list", "--batch", "\x1b[2J"), "is not the id of a batch"),
        (("redeliver", "7"), "7 is not the id of a delivery"),
    ],
)
async def test_what_is_no_state_or_id_is_refused(
    store: Store, home: Path, arguments: tuple[str, ...], why: str
) -> None:
    ended = await webhooks(home, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert why in ended.err
    assert "\x1b" not in ended.err
    assert await store.callbacks.all() == ()


async def test_a_delivery_is_sent_again_with_its_id(
    store: Store, home: Path, receiver: CallbackReceiver
) -> None:
    receiver.script = [answers(500), answers(200)]
    failed = await told(store, url=receiver.url)
    async with delivering(store):
        await comes_to(store, failed.id, "failed")
        again = await webhooks(home, "redeliver", str(failed.id))
        assert again.code == 0, again.err
        assert f"sent again, to 127.0.0.1:{receiver.port}" in again.out
        assert "zx81canary" not in again.out
        await comes_to(store, failed.id, "delivered")
    first, second = receiver.requests
    assert first.webhook_id == second.webhook_id == str(failed.id)


async def test_one_that_waits_for_its_next_try_is_tried_now(
    store: Store, home: Path, receiver: CallbackReceiver
) -> None:
    receiver.script = [answers(500), answers(200)]
    waiting = await told(store, url=receiver.url)
    async with delivering(store, 3600.0):
        await wait_until(lambda: _has_tries(store, waiting))
        again = await webhooks(home, "redeliver", str(waiting.id))
        assert again.code == 0
        assert "it is tried now" in again.out
        await comes_to(store, waiting.id, "delivered")


async def test_what_cannot_be_sent_again_says_why(store: Store, home: Path) -> None:
    unknown = await webhooks(home, "redeliver", str(uuid4()))
    assert unknown.code == 1
    assert "EASEL_RETENTION__DELIVERIES_DAYS" in unknown.err

    nameless = await told(store, name="nothing")
    ended = await webhooks(home, "redeliver", str(nameless.id))
    assert ended.code == 1
    assert "easel webhooks add nothing URL" in ended.err

    start = await told(store, "generation.running", "generation.succeeded", url=SHOP)
    assert start.event == "generation.running"
    ended = await webhooks(home, "redeliver", str(start.id))
    assert ended.code == 1
    assert "overtaken" in ended.err

    off = await told(store, url=SHOP)
    await store.callbacks.switch_off(None, SHOP)
    ended = await webhooks(home, "redeliver", str(off.id))
    assert ended.code == 1
    assert "easel webhooks enable URL" in ended.err
    assert "zx81canary" not in ended.err
    assert (await webhooks(home, "enable", SHOP)).code == 0
    assert (await webhooks(home, "redeliver", str(off.id))).code == 0


# --- a test event


async def test_a_test_event_is_sent_signed(
    store: Store, home: Path, receiver: CallbackReceiver
) -> None:
    receiver.script = [answers(200, body=b"thank \x1byou")]
    await store.callbacks.add("shop", receiver.url)
    await store.secrets.rotate()
    for which in ("shop", receiver.url):
        ended = await webhooks(home, "test", which, **ALLOW)
        assert ended.code == 0, ended.err
        assert re.search(rf"^127.0.0.1:{receiver.port} answered 200 in \d+ ms", ended.out)
        assert re.search("^thank .you$", ended.out, re.MULTILINE)
        assert "\x1b" not in ended.out
    for secret in await store.secrets.valid():
        assert [event["type"] for event in receiver.verified(secret)] == ["webhook.test"] * 2
    page = await store.deliveries.page(DeliveryFilter(), 1, None)
    assert page.items == ()


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (answers(500, body=b"no"), "answered 500, in"),
        (answers(410), "would be switched off"),
        (redirects("http://127.0.0.1:9/"), "redirects are not followed"),
        (resets, "no answer in HTTP"),
    ],
    ids=["500", "410", "redirect", "reset"],
)
async def test_what_is_not_taken_ends_it_with_one(
    store: Store, home: Path, receiver: CallbackReceiver, behaviour: Any, said: str
) -> None:
    receiver.script = [behaviour]
    ended = await webhooks(home, "test", receiver.url, **ALLOW)
    assert ended.code == 1
    assert said in ended.out + ended.err
    assert "zx81canary" not in ended.out + ended.err
    assert len(receiver.requests) == 1
    assert await store.callbacks.all() == ()


async def test_where_nobody_listens_is_told(store: Store, home: Path) -> None:
    ended = await webhooks(home, "test", f"http://127.0.0.1:{free_port()}/", **ALLOW)
    assert ended.code == 1
    assert "did not take it" in ended.err
    assert (await webhooks(home, "test", "shop.example/hook")).code == 2
    assert await store.callbacks.all() == ()


async def test_addresses_inside_are_refused_as_for_events(
    store: Store, home: Path, receiver: CallbackReceiver
) -> None:
    ended = await webhooks(home, "test", receiver.url)
    assert ended.code == 1
    assert """EASEL_WEBHOOKS__ALLOW='["127.0.0.1"]'""" in ended.err
    own = {"EASEL_API__PORT": str(receiver.port)}
    ended = await webhooks(home, "test", receiver.url, **ALLOW, **own)
    assert ended.code == 1
    assert "a service of Easel itself" in ended.err
    assert receiver.connections == 0
    assert await store.callbacks.all() == ()


async def test_ports_that_a_running_easel_was_given_are_refused_too(
    store: Store, home: Path, receiver: CallbackReceiver
) -> None:
    running = {
        "pid": 1,
        "api_url": f"http://127.0.0.1:{receiver.port}",
        "prefect_api_url": "http://127.0.0.1:9/api",
        "prefect_ui_url": "http://127.0.0.1:9",
    }
    (home / "easel.running.json").write_text(json.dumps(running))
    ended = await webhooks(home, "test", receiver.url, **ALLOW)
    assert ended.code == 1
    assert "a service of Easel itself" in ended.err
    assert receiver.connections == 0
    assert await store.callbacks.all() == ()


async def test_a_receiver_that_is_off_is_tested_and_told_to_be(
    store: Store, home: Path, receiver: CallbackReceiver
) -> None:
    await store.callbacks.add("shop", receiver.url)
    await store.callbacks.switch_off("shop", receiver.url)
    ended = await webhooks(home, "test", "shop", **ALLOW)
    assert ended.code == 0
    assert "easel webhooks enable shop" in ended.err
