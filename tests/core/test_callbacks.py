"""A callback is checked without the network, and its URL is nowhere repeated."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any, Final

import pytest
from prefect.utilities.callables import parameter_schema
from pydantic import BaseModel, ValidationError

from core.batches.request import BatchRequest, FileOptions, FlowBatchRequest
from core.callbacks.addresses import AllowedAddresses, is_public, literal, unwrapped
from core.callbacks.callback import (
    BATCH_ENDS,
    BATCH_EVENTS,
    GENERATION_ENDS,
    GENERATION_EVENTS,
    Callback,
    read_callback,
)
from core.callbacks.rules import CallbackRules
from core.callbacks.url import CALLBACK_URL_MAX, Receiver
from core.invalid import problems_of
from core.requests import FlowRequest, GenerationRequest
from flows.bulk import bulk
from flows.generate import generate

CANARY: Final = "zx81canary"
URL: Final = f"https://shop.example/hook?key={CANARY}"


def wrong(model: type[BaseModel], fields: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns place, type and words of what is wrong, after a look that no value is repeated."""
    with pytest.raises(ValidationError) as refusal:
        model.model_validate(fields)
    found = problems_of(refusal.value)
    assert CANARY not in f"{found}{refusal.value}"
    return [(".".join(map(str, place)), kind, said) for place, kind, said in found]


def asked(**fields: Any) -> Callback | None:
    return GenerationRequest.model_validate({"prompt": "a fox", **fields}).wanted_callback


def asked_of_batch(**fields: Any) -> Callback | None:
    return BatchRequest.model_validate(fields).wanted_callback


# --- what is asked for


def test_without_a_receiver_there_is_no_callback() -> None:
    assert asked() is asked(callback=None, callback_url=None, callback_events=None) is None
    assert asked_of_batch() is None


def test_the_ends_are_sent_unless_others_are_wanted() -> None:
    assert asked(callback="shop") == Callback(name="shop", events=GENERATION_ENDS)
    assert asked(callback_url=URL) == Callback(url=URL, events=GENERATION_ENDS)
    assert asked_of_batch(callback="shop") == Callback(name="shop", events=BATCH_ENDS)
    assert "generation.running" not in GENERATION_ENDS
    assert "batch.running" not in BATCH_ENDS


def test_an_event_is_wanted_once_in_the_order_asked() -> None:
    events = ["generation.failed", "generation.running", "generation.failed"]
    found = asked(callback="shop", callback_events=events)

    assert found is not None
    assert found.events == ("generation.failed", "generation.running")


def test_a_batch_may_have_the_events_of_its_items_told_and_a_generation_none_of_a_batch() -> None:
    every = [*GENERATION_EVENTS, *BATCH_EVENTS]
    found = asked_of_batch(callback="shop", callback_events=every)

    assert found is not None
    assert found.events == tuple(every)
    [(place, kind, _)] = wrong(
        GenerationRequest,
        {"prompt": "a fox", "callback": "shop", "callback_events": ["batch.failed"]},
    )
    assert (place, kind) == ("callback_events.0", "literal_error")


@pytest.mark.parametrize(
    "text",
    [
        "batch.failed generation.failed",
        "batch.failed,generation.failed",
        "batch.failed;\tgeneration.failed",
    ],
)
def test_events_come_as_one_text_too(text: str) -> None:
    found = FileOptions.model_validate_strings({"callback": "shop", "callback_events": text})

    assert found.callback_events is not None
    assert found.callback_events[0] == "batch.failed"
    assert set(found.callback_events) <= {"batch.failed", "generation.failed"}
    assert len(found.callback_events) == text.count(".failed")


def test_what_a_file_cannot_say_is_said_beside_it() -> None:
    options = FileOptions.model_validate_strings({"name": "foxes", "callback_url": URL})
    request = BatchRequest.of_file(options)

    assert request.name == "foxes"
    assert request.wanted_callback == Callback(url=URL, events=BATCH_ENDS)
    assert set(request.options.model_dump()) & {"callback", "callback_url"} == set()


@pytest.mark.parametrize("model", [GenerationRequest, BatchRequest])
@pytest.mark.parametrize(
    ("fields", "at", "said"),
    [
        ({"callback": "shop", "callback_url": URL}, "callback", "say either callback_url or"),
        ({"callback_events": []}, "callback_events", "must not be empty"),
        ({"callback_events": [CANARY], "callback": "shop"}, "callback_events.0", "must be 'gen"),
        ({"callback_events": "", "callback": "shop"}, "callback_events.0", "must be 'gen"),
        ({"callback_events": 5, "callback": "shop"}, "callback_events", "must be a list"),
        ({"callback": ""}, "callback", "must not be empty"),
        ({"callback": "x" * 65}, "callback", "may have 64 characters at most"),
        ({"callback": f"{CANARY}/shop"}, "callback", "must be letters, digits, dots, dashes"),
        ({"callback": "-shop"}, "callback", "must be letters, digits, dots, dashes"),
        ({"callback": URL}, "callback", "must be letters, digits, dots, dashes"),
        ({"callback": 1}, "callback", "must be a text"),
        ({"callback_url": 1}, "callback_url", "must be a text"),
        ({"callback_url": CANARY}, "callback_url", "must begin with http:// or https://"),
    ],
)
def test_a_wrong_callback_is_told_at_its_field(
    model: type[BaseModel], fields: dict[str, Any], at: str, said: str
) -> None:
    prompt = {"prompt": "a fox"} if model is GenerationRequest else {}
    [(place, _, words)] = wrong(model, {**prompt, **fields})

    assert place == at
    assert words.startswith(said)


@pytest.mark.parametrize("model", [FlowRequest, FlowBatchRequest, BatchRequest, FileOptions])
def test_events_need_a_callback(model: type[BaseModel]) -> None:
    prompt = {"prompt": "a fox"} if model is FlowRequest else {}

    assert wrong(model, {**prompt, "callback_events": ["generation.failed"]}) == [
        ("callback_events", "value_error", "needs a callback to send them to")
    ]


def test_a_callback_is_kept_and_read_again() -> None:
    kept = Callback(url=URL, events=GENERATION_ENDS)

    assert read_callback(json.loads(kept.model_dump_json())) == kept
    assert read_callback(None) is None
    assert read_callback({"url": URL, "events": ["generation.upscaled"]}) is None  # a later version
    assert read_callback({**kept.model_dump(mode="json"), "retries": 3}) == kept


def test_the_host_alone_is_shown() -> None:
    kept = Callback(url=URL, events=GENERATION_ENDS)
    request = GenerationRequest(prompt="a fox", callback_url=URL)
    batch = BatchRequest(callback_url=URL)

    assert kept.host == "shop.example"
    assert Callback(name="shop", events=GENERATION_ENDS).host is None
    assert CANARY not in f"{kept!r}{kept}{request!r}{batch!r}{FileOptions(callback_url=URL)!r}"


# --- where Prefect shows it


PLACES: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({"callback_url": URL}, "callback_url"),
    ({"defaults": {"callback_url": URL}}, "defaults.callback_url"),
    ({"items": [{"prompt": "a"}, {"callback_url": URL}]}, "items.1.callback_url"),
    ({"callback": "shop", "callback_url": URL}, "callback_url"),
)


def test_a_flow_takes_a_callback_by_its_name_alone() -> None:
    of_one = wrong(FlowRequest, {"prompt": "a fox", "callback_url": URL})
    refused = [(of_one, "callback_url")]
    refused += [(wrong(FlowBatchRequest, fields), at) for fields, at in PLACES]
    for told, at in refused:
        [(place, kind, said)] = told
        assert (place, kind) == (at, "callback_url_here")
        assert "easel webhooks add NAME URL" in said
        assert "callback: NAME" in said
    named = FlowRequest(prompt="a fox", callback="shop").wanted_callback
    assert named == Callback(name="shop", events=GENERATION_ENDS)


def test_a_clients_batch_with_a_url_is_none_for_a_flow() -> None:
    """Pydantic takes an instance of a subclass as it is."""

    class Parameters(BaseModel):
        batch: FlowBatchRequest

    taken = Parameters(batch=BatchRequest(items=[{"prompt": "a fox"}])).batch
    assert type(taken) is FlowBatchRequest
    assert taken.model_dump(exclude_unset=True) == {"items": [{"prompt": "a fox"}]}
    found = wrong(Parameters, {"batch": BatchRequest(callback_url=URL)})
    assert [place for place, _, _ in found] == ["batch.callback_url"]


def test_a_url_of_null_is_none() -> None:
    """Clients wrote it as long as it had to be null, into their schedules too."""
    nothing = {"callback_url": None}
    batch = FlowBatchRequest.model_validate(
        {**nothing, "defaults": nothing, "items": [{"prompt": "a", **nothing}, {"prompt": "b"}]}
    )

    assert "callback_url" not in batch.model_dump_json()
    assert FlowRequest.model_validate({"prompt": "a", **nothing}).wanted_callback is None


@pytest.mark.parametrize("flow", [generate, bulk], ids=lambda flow: flow.name)
def test_no_form_of_a_flow_offers_a_url_and_each_offers_a_name(flow: Any) -> None:
    schema = parameter_schema(flow).model_dump()
    offered = {name for properties in found(schema, "properties") for name in properties}

    assert {"callback", "callback_events"} <= offered
    assert "callback_url" not in offered
    [events] = [
        each["callback_events"] for each in found(schema, "properties") if "callback" in each
    ]
    [listed] = [each for each in events["anyOf"] if each["type"] == "array"]
    assert set(GENERATION_EVENTS) <= set(listed["items"]["enum"])
    examples = json.dumps(list(found(schema, "examples")))
    assert "callback_url" not in examples


def found(schema: Any, name: str) -> list[Any]:
    """Returns each value that has this name in a JSON schema."""
    if isinstance(schema, list):
        return [one for each in schema for one in found(each, name)]
    if not isinstance(schema, dict):
        return []
    here = [schema[name]] if name in schema else []
    return [*here, *(one for each in schema.values() for one in found(each, name))]


def test_the_rows_of_a_client_may_have_urls_and_those_of_a_flow_may_not() -> None:
    """Prefect's server checks the parameters of runs by the schema, before it stores them."""
    assert found(BatchRequest.model_json_schema(), "propertyNames") == []
    assert found(FlowBatchRequest.model_json_schema(), "propertyNames") == [
        {"not": {"const": "callback_url"}},
        {"not": {"const": "callback_url"}},
    ]


def test_a_grid_has_no_callbacks() -> None:
    for name in ("callback_url", "callback", "callback_events"):
        assert wrong(BatchRequest, {"grid": {name: [CANARY]}}) == [
            (
                f"grid.{name}.[key]",
                "not_in_a_grid",
                "is not for a grid: say it in `defaults`, or for the batch",
            )
        ]


# --- URLs


@pytest.mark.parametrize(
    ("url", "receiver", "shown"),
    [
        ("http://shop.example", ("http", "shop.example", 80, "/"), "shop.example"),
        (
            "HTTPS://Shop.Example:443/a?b=c",
            ("https", "shop.example", 443, "/a?b=c"),
            "shop.example",
        ),
        ("https://shop.example?b", ("https", "shop.example", 443, "/?b"), "shop.example"),
        ("http://h:8080/%20", ("http", "h", 8080, "/%20"), "h:8080"),
        ("http://h:/", ("http", "h", 80, "/"), "h"),
        ("http://[::1]:9/", ("http", "::1", 9, "/"), "[::1]:9"),
        ("http://a_b.lan./", ("http", "a_b.lan.", 80, "/"), "a_b.lan."),
        ("http://xn--bcher-kva.example/", ("http", "xn--bcher-kva.example", 80, "/"), None),
    ],
)
def test_a_url_has_parts(url: str, receiver: tuple[str, str, int, str], shown: str | None) -> None:
    assert Receiver.of(url) == Receiver(*receiver)
    assert Receiver.of(url).shown == (shown or receiver[1])


_HOST: Final = "names no host such as shop.example"
_ASCII: Final = "must be written in ASCII without blanks"
_SCHEME: Final = "must begin with http:// or https://"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", _SCHEME),
        ("zx81canary", _SCHEME),
        ("//zx81canary.example/", _SCHEME),
        ("ftp://zx81canary.example/", _SCHEME),
        ("file:///zx81canary", _SCHEME),
        ("javascript:alert('zx81canary')", _SCHEME),
        ("http:zx81canary", _HOST),
        ("http:/zx81canary/", _HOST),
        ("http:///zx81canary", _HOST),
        ("http://.zx81canary/", _HOST),
        ("http://-zx81canary/", _HOST),
        ("http://zx81canary..example/", _HOST),
        ("http://zx81canary%2eexample/", _HOST),
        ("http://zx81canary:0/", _HOST),
        ("http://[fe80::1%25zx81canary]/", _HOST),
        (f"http://zx81canary{'a' * 250}/", _HOST),
        ("http://zx81canary:65536/", "is not a URL such as https://shop.example/easel"),
        ("http://h:80:zx81canary/", "is not a URL such as https://shop.example/easel"),
        ("http://[::zx81canary/", "is not a URL such as https://shop.example/easel"),
        ("http://zx81canary@shop.example/", "must have no user name and password"),
        ("http://u:zx81canary@shop.example/", "must have no user name and password"),
        ("http://@shop.example/zx81canary", "must have no user name and password"),
        ("http://shop.example/#zx81canary", "must have no fragment"),
        ("http://shop.example/zx81canary#", "must have no fragment"),
        (" http://shop.example/zx81canary", _ASCII),
        ("http://shop.example/zx81 canary", _ASCII),
        ("http://shop.example/zx81canary\n", _ASCII),
        ("http://shop.example/\r\nX-Zx81canary: 1", _ASCII),
        ("http://shop.example/\x00zx81canary", _ASCII),
        ("http://bücher.example/zx81canary", _ASCII),
        ("http://１２７.0.0.1/zx81canary", _ASCII),
        ("http://shop.example\\@zx81canary/", _ASCII),
        ("http://shop.example/ü/zx81canary", _ASCII),
        (
            f"http://shop.example/zx81canary{'a' * CALLBACK_URL_MAX}",
            f"may have {CALLBACK_URL_MAX} characters at most",
        ),
    ],
)
def test_a_url_that_is_none_is_told_why(url: str, said: str) -> None:
    [(place, _, words)] = wrong(GenerationRequest, {"prompt": "a fox", "callback_url": url})

    assert place == "callback_url"
    assert words.startswith(said)


# --- addresses


LOCAL: Final = (
    *("127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001", "0177.0.0.1", "127.0.0.1."),
    *("localhost", "LOCALHOST.", "x.localhost", "ip6-localhost", "0", "0.0.0.0", "256"),
    *("10.1.2.3", "172.16.0.1", "192.168.1.7", "100.64.0.1", "169.254.169.254", "224.0.0.1"),
    *("255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
    *("::", "::1", "[::1]", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "2002:7f00:1::", "2002:a00:1::"),
    *("64:ff9b::7f00:1", "64:ff9b:1::1", "2001:0:7f00:1::1", "fd00:ec2::254", "3fff::1"),
)
PUBLIC: Final = (
    *("1.1.1.1", "8.8.8.8", "1.2", "134744072", "2606:4700::1111", "2a00:1450::1"),
    *("::ffff:8.8.8.8", "2002:808:808::", "64:ff9b::808:808"),
)


@pytest.mark.parametrize("host", LOCAL)
def test_an_address_that_is_not_public_is_known_however_it_is_written(host: str) -> None:
    address = literal(host)

    assert address is not None
    assert not is_public(address)
    assert not AllowedAddresses().permits(host, address)


@pytest.mark.parametrize("host", PUBLIC)
def test_an_address_of_the_public_internet_is_let_through(host: str) -> None:
    address = literal(host)

    assert address is not None
    assert is_public(address)
    assert CallbackRules().refusal(f"http://{f'[{host}]' if ':' in host else host}/") is None


@pytest.mark.parametrize("host", ["shop.example", "receiver.lan", "1.2.3.4.5", "a127.0.0.1", "0x"])
def test_other_names_are_left_to_the_time_of_sending(host: str) -> None:
    assert literal(host) is None
    assert CallbackRules().refusal(f"http://{host}/") is None


def test_an_address_inside_another_is_the_one_that_counts() -> None:
    for text in ("::ffff:10.0.0.1", "::10.0.0.1", "2002:a00:1::5", "64:ff9b::a00:1"):
        assert unwrapped(ip_address(text)) == ip_address("10.0.0.1")
    assert unwrapped(ip_address("2606:4700::1")) == ip_address("2606:4700::1")
    assert unwrapped(ip_address("10.0.0.1")) == ip_address("10.0.0.1")


def test_what_is_allowed_is_a_host_an_address_or_a_network() -> None:
    allowed = AllowedAddresses.of([" Receiver.LAN. ", "192.168.1.0/24", "10.0.0.7", "[::1]"])
    private = ip_address("172.16.0.1")

    assert allowed.permits("receiver.lan", private)
    assert allowed.permits("RECEIVER.lan.", private)
    assert not allowed.permits("other.receiver.lan", private)
    assert allowed.permits("any", ip_address("192.168.1.200"))
    assert allowed.permits("any", ip_address("::ffff:192.168.1.200"))
    assert not allowed.permits("any", ip_address("192.168.2.1"))
    assert allowed.permits("any", ip_address("10.0.0.7"))
    assert not allowed.permits("any", ip_address("10.0.0.8"))
    assert allowed.permits("any", ip_address("::1"))
    assert not allowed.permits("any", ip_address("127.0.0.1"))


# --- rules


def test_a_name_that_is_not_stored_is_told_the_nearest() -> None:
    rules = CallbackRules(names=frozenset({"shop", "warehouse"}))
    problem = rules.problem(Callback(name="shp", events=GENERATION_ENDS))

    assert problem is not None
    assert (problem.loc, problem.code) == (("callback",), "unknown_callback")
    assert "shop" in problem.message
    assert "easel webhooks add" in problem.message
    assert rules.problem(Callback(name="shop", events=GENERATION_ENDS)) is None
    assert rules.problem(None) is None


def test_an_address_that_is_refused_says_the_setting_and_nothing_but_the_host() -> None:
    problem = CallbackRules().problem(
        Callback(url=f"http://192.168.1.7:8080/{CANARY}", events=GENERATION_ENDS)
    )

    assert problem is not None
    assert (problem.loc, problem.code) == (("callback_url",), "address_not_allowed")
    assert "EASEL_WEBHOOKS__ALLOW='[\"192.168.1.7\"]'" in problem.message
    assert CANARY not in problem.message
    allowed = CallbackRules(allowed=AllowedAddresses.of(["192.168.0.0/16"]))
    assert allowed.refusal("http://192.168.1.7/") is None
