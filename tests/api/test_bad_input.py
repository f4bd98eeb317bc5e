"""Bad input, one row each: what it is answered, that nothing is echoed, that nothing is created.

The rows' names are those of the house's list of bad input. ``CANARY`` stands in the values.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest

from core import fields
from tests.api.service import (
    BATCHES,
    CREATE,
    HISTORY,
    SCHEDULES,
    Service,
    assert_problem,
)

CANARY: Final = "zx81canary"
JSON_TYPE: Final = {"Content-Type": "application/json"}
A_LIMIT: Final = 1_000_000
"""The longest body, in bytes."""


@dataclass(frozen=True)
class Bad:
    """A body (or headers) that is refused, and how. ``at`` is the place that is named."""

    name: str
    body: bytes
    status: int = 422
    code: str = "invalid_request"
    at: str | None = None
    headers: dict[str, str] = field(default_factory=lambda: JSON_TYPE)


def _fields(name: str, at: str, **fields: Any) -> Bad:
    return Bad(name, json.dumps({"prompt": f"a {CANARY}", **fields}).encode(), at=at)


def _raw(name: str, fields: str, at: str | None = None) -> Bad:
    """Values that ``json.dumps`` would not write."""
    return Bad(name, f'{{"prompt": "a {CANARY}", {fields}}}'.encode(), at=at)


def _malformed(name: str, body: bytes) -> Bad:
    return Bad(name, body, 400, "malformed_json")


def _unsupported(name: str, body: bytes, **headers: str) -> Bad:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Bad(name, body, 415, "unsupported_media_type", headers=named)


PROMPT: Final = json.dumps({"prompt": f"a {CANARY}"})
MANY_KEYS: Final = {f"k{number}": CANARY for number in range(10_000)}

BODIES: Final = (
    Bad("1 empty", b"", at=""),
    Bad("2 a list", b'["zx81canary"]', at=""),
    Bad("2 null", b"null", at=""),
    Bad("2 a text", b'"zx81canary"', at=""),
    _malformed("3 truncated JSON", PROMPT[:-1].encode()),
    _malformed("3 no JSON", CANARY.encode()),
    _malformed("3 more after it", f"{PROMPT} {PROMPT}".encode()),
    _malformed("4 bad UTF-8", b'{"prompt": "zx81canary \xc3\x28"}'),
    _malformed("4 overlong UTF-8", b'{"prompt": "zx81canary \xc0\xae"}'),
    _malformed("5 UTF-16", PROMPT.encode("utf-16")),
    _malformed("5 UTF-16 without a mark", PROMPT.encode("utf-16-le")),
    _malformed("5 UTF-32", PROMPT.encode("utf-32-be")),
    _malformed("6 BOM", PROMPT.encode("utf-8-sig")),
    _malformed("7 duplicate key", b'{"prompt": "zx81canary", "prompt": "zx81canary"}'),
    _malformed("7 duplicate key below", b'{"prompt": "x", "metadata": {"a": 1, "a": 2}}'),
    _raw("8 NaN", '"cfg": NaN'),
    _raw("9 Infinity", '"cfg": Infinity'),
    _raw("9 minus Infinity", '"cfg": -Infinity'),
    _raw("10 1e400", '"cfg": 1e400'),
    _raw("10 -1e400 in metadata", '"metadata": {"a": -1e400}'),
    _fields("11 'nan'", "cfg", cfg="nan"),
    _raw("12 NaN for an int", '"steps": NaN'),
    Bad("13 lone surrogate", b'{"prompt": "zx81canary \\ud800"}', at="prompt"),
    Bad("13 lone surrogate in a label", b'{"prompt": "x", "metadata": {"a": "\\udfff"}}'),
    Bad("13 lone surrogate in a label's name", b'{"prompt": "x", "metadata": {"\\ud800": 1}}'),
    Bad("13 lone surrogate in a field's name", b'{"prompt": "x", "\\ud800": 1}', at=""),
    Bad("14 NUL", b'{"prompt": "zx81canary \\u0000"}', at="prompt"),
    Bad("14 NUL in a label", b'{"prompt": "x", "metadata": {"a": "\\u0000"}}', at="metadata.a"),
    _malformed("14 NUL unescaped", b'{"prompt": "zx81canary \x00"}'),
    _malformed("15 100k deep", b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    _malformed("15 100k objects deep", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    _malformed("16 900 deep", b'{"prompt": ' + b"[" * 900 + b"]" * 900 + b"}"),
    _raw("17 4299 digits", f'"seed": {"1" * 4299}'),
    _raw("17 4299 digits in metadata", f'"metadata": {{"a": {"1" * 4299}}}'),
    _raw("17 400 digits", f'"seed": {"1" * 400}'),
    _malformed("18 5000 digits", f'{{"prompt": "x", "seed": {"1" * 5000}}}'.encode()),
    _fields("19 seed 2**63", "seed", seed=2**63),
    _fields("19 seed 2**53", "seed", seed=2**53),
    _fields("20 seed -2", "seed", seed=-2),
    _fields("21 true as int", "steps", steps=True),
    _fields("21 true as seed", "seed", seed=True),
    _fields("21 true as number", "cfg", cfg=True),
    _fields("22 '1' as int", "steps", steps="1"),
    _fields("22 '7' as number", "cfg", cfg="7"),
    _fields("22 number as text", "sampler", sampler=1),
    _raw("23 1.0 as int", '"steps": 1.0', "steps"),
    _raw("23 1e0 as int", '"steps": 1e0', "steps"),
    _fields("24 steps 0", "steps", steps=0),
    _fields("24 steps 1.5", "steps", steps=1.5),
    _fields("24 steps 10**6", "steps", steps=10**6),
    _fields("25 width 0", "width", width=0),
    _fields("25 width -64", "width", width=-64),
    _fields("25 width 513", "width", width=513),
    _fields("25 height 10**9", "height", height=10**9),
    _fields("26 too many pixels", "", width=4096, height=4096, batch_size=3),
    _fields(
        "26 too many pixels by default",
        "width",
        model="painter-xl.safetensors",
        height=4096,
        batch_size=16,
    ),
    _fields("27 cfg -1", "cfg", cfg=-1),
    _fields("27 cfg 10**3", "cfg", cfg=10**3),
    _fields("28 unknown field", "nix", nix=CANARY),
    _fields("28 field in the wrong case", "Steps", Steps=20),
    _fields("29 unknown model", "model", model=CANARY),
    _fields("29 unknown sampler", "sampler", sampler=CANARY),
    _fields("29 unknown scheduler", "scheduler", scheduler=CANARY),
    _fields("29 unknown workflow", "workflow", workflow=CANARY),
    _fields("29 unknown priority", "priority", priority=CANARY),
    _fields("30 model ../x", "model", model=f"../{CANARY}"),
    _fields("30 model ../ and a known one", "model", model="../checkpoints/painter-xl.safetensors"),
    _fields("30 model absolute", "model", model=f"/{CANARY}/painter-xl.safetensors"),
    _fields("30 model on C:", "model", model=f"C:\\{CANARY}"),
    _fields("30 model .ckpt", "model", model=f"{CANARY}.ckpt"),
    _fields("31 prefix with ../", "filename_prefix", filename_prefix=f"../{CANARY}"),
    _fields("31 prefix with %year%", "filename_prefix", filename_prefix=f"%year%{CANARY}"),
    Bad("33 blank prompt", b'{"prompt": " \\t\\n "}', at="prompt"),
    Bad("33 empty prompt", b'{"prompt": ""}', at="prompt"),
    Bad("33 null prompt", b'{"prompt": null}', at="prompt"),
    Bad("33 no prompt", b'{"steps": 20}', at="prompt"),
    Bad("34 50 MB prompt", b'{"prompt": "' + b"x" * 50_000_000 + b'"}', 413, "payload_too_large"),
    Bad(
        "34 one byte too many",
        b" " * (A_LIMIT - 16) + b'{"prompt": "ab"}' + b" ",
        413,
        "payload_too_large",
    ),
    _fields("35 limit + 1 characters", "prompt", prompt="x" * (fields.PROMPT_MAX + 1)),
    _fields(
        "35 limit + 1 to keep out",
        "negative_prompt",
        negative_prompt="x" * (fields.PROMPT_MAX + 1),
    ),
    _fields(
        "35 limit + 1 in a label",
        "metadata",
        metadata={"a": "x" * (fields.METADATA_TEXT_MAX + 1)},
    ),
    _fields("38 10k-key metadata", "metadata", metadata=MANY_KEYS),
    _fields("38 metadata within metadata", "metadata.a", metadata={"a": {"b": CANARY}}),
    *(
        _fields(f"callback_url {name}", "callback_url", callback_url=url)
        for name, url in {
            "of a file": f"file:///{CANARY}",
            "of a script": f"javascript:{CANARY}",
            "without a host": f"http:///{CANARY}",
            "with a password": f"https://u:{CANARY}@shop.example/",
            "with a fragment": f"https://shop.example/#{CANARY}",
            "with a line break": f"https://shop.example/\r\n{CANARY}",
            "too long": f"https://shop.example/{CANARY * 300}",
            "of this machine": f"http://127.0.0.1/{CANARY}",
            "of this machine in a short form": f"http://127.1/{CANARY}",
            "of this machine in IPv6": f"http://[::1]/{CANARY}",
            "of this machine in IPv4 in IPv6": f"http://[::ffff:127.0.0.1]/{CANARY}",
            "of the cloud's metadata": f"http://169.254.169.254/{CANARY}",
            "of the home": f"http://192.168.1.7/{CANARY}",
        }.items()
    ),
    _fields("callback_url is no text", "callback_url", callback_url={"url": CANARY}),
    _fields("callback that is not stored", "callback", callback=CANARY),
    _fields("callback with a slash", "callback", callback=f"../{CANARY}"),
    _fields(
        "two callbacks", "callback", callback="shop", callback_url=f"https://{CANARY}.example/"
    ),
    _fields("events without a callback", "callback_events", callback_events=["generation.failed"]),
    _fields(
        "unknown event", "callback_events", callback_events=[CANARY], callback_url="https://a.test"
    ),
    _fields("no events", "callback_events", callback_events=[], callback_url="https://a.test"),
    _fields("batch_size 0", "batch_size", batch_size=0),
    _fields("timeout_s 0", "timeout_s", timeout_s=0),
)

TRANSPORT: Final = (
    _unsupported("43 text/plain", PROMPT.encode(), content_type="text/plain"),
    _unsupported("43 no content type", PROMPT.encode()),
    _unsupported(
        "43 two content types", PROMPT.encode(), content_type="text/plain, application/json"
    ),
    _unsupported("43 XML", b"<prompt>zx81canary</prompt>", content_type="application/xml"),
    _unsupported(
        "43 a form", b"prompt=zx81canary", content_type="application/x-www-form-urlencoded"
    ),
    _unsupported("43 a content type of nonsense", PROMPT.encode(), content_type="zx81canary"),
    _unsupported(
        "44 charset=utf-16",
        PROMPT.encode("utf-16"),
        content_type="application/json; charset=utf-16",
    ),
    _unsupported(
        "45 gzip body",
        gzip.compress(PROMPT.encode()),
        content_type="application/json",
        content_encoding="gzip",
    ),
    _unsupported(
        "45 gzip body without a type", gzip.compress(PROMPT.encode()), content_encoding="gzip"
    ),
    Bad(
        "57 Idempotency-Key empty",
        PROMPT.encode(),
        400,
        "bad_request",
        headers={**JSON_TYPE, "Idempotency-Key": ""},
    ),
    Bad(
        "57 Idempotency-Key of 256",
        PROMPT.encode(),
        400,
        "bad_request",
        headers={**JSON_TYPE, "Idempotency-Key": CANARY + "k" * 246},
    ),
    Bad(
        "57 Idempotency-Key with a tab",
        PROMPT.encode(),
        400,
        "bad_request",
        headers={**JSON_TYPE, "Idempotency-Key": f"{CANARY}\tb"},
    ),
    *(
        Bad(
            f"a broken charset {name}",
            PROMPT.encode(),
            415,
            "unsupported_media_type",
            headers={"Content-Type": f"application/json; {parameters}"},
        )
        for name, parameters in {
            "in two pieces": "charset*=utf-8''%ff; charset*0*=a",
            "twice": "charset*0*=a; charset*=b",
            "quoted": 'charset="latin-1"',
        }.items()
    ),
    Bad(
        "51 64 KB header",
        PROMPT.encode(),
        431,
        "bad_request",
        headers={**JSON_TYPE, "X-Canary": CANARY + "x" * 65_536},
    ),
)


@pytest.mark.parametrize("bad", [*BODIES, *TRANSPORT], ids=lambda bad: bad.name)
def test_a_bad_create_is_refused_and_creates_nothing(service: Service, bad: Bad) -> None:
    before = service.count()
    response = service.client.post(CREATE, content=bad.body, headers=bad.headers)

    found = assert_problem(response, bad.status, bad.code)
    assert CANARY not in response.text
    assert len(response.content) < 5_000
    assert "0x" not in response.text
    if bad.at is not None:
        places = [".".join(str(part) for part in entry["loc"]) for entry in found["errors"]]
        assert any(place == bad.at or place.startswith(f"{bad.at}.") for place in places), places
    assert service.count() == before


STRANGE: Final = {
    "39 bidi": "a \u202efox\u202c",
    "39 ZWJ": "a \U0001f469\u200d\U0001f4bb fox",
    "39 zalgo": "f\u0337\u0321\u0322o\u0337\u0321x\u0337",
    "39 astral": "\U0001f98a" * 100,
    "40 script": "<script>alert(1)</script>",
    "40 onerror": '<img src=x onerror="alert(1)">',
    "40 braces": "{{7*7}} ${7*7} #{7*7} %(prompt)s {0}",
    "41 CRLF": "a fox\r\nSet-Cookie: a=b",
    "41 ANSI": "a \x1b[31mred\x1b[0m fox",
    "42 DROP TABLE": "'; DROP TABLE generations; --",
}


@pytest.mark.parametrize("prompt", STRANGE.values(), ids=STRANGE.keys())
def test_a_strange_prompt_is_only_text(service: Service, prompt: str) -> None:
    response = service.client.post(
        CREATE, json={"prompt": prompt, "negative_prompt": prompt, "metadata": {"label": prompt}}
    )

    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.headers.keys().isdisjoint({"set-cookie"})
    task_id = response.json()["task_id"]
    request = service.get(f"/api/v1/generation/status/{task_id}").json()["request"]
    assert request["prompt"] == request["negative_prompt"] == prompt
    assert request["metadata"] == {"label": prompt}
    found = service.get(HISTORY, params={"q": prompt}).json()["items"]
    assert task_id in [item["task_id"] for item in found]


def test_the_longest_allowed_texts_are_taken(service: Service) -> None:
    longest = "\U0001f98a" * fields.PROMPT_MAX
    document = service.create(longest, negative_prompt=longest, seed=fields.SEED_MAX)

    assert document["request"]["prompt"] == longest
    assert document["request"]["seed"] == fields.SEED_MAX


def test_deep_brackets_in_a_text_are_no_depth(service: Service) -> None:
    assert service.create('[[{"\\' * 200)["status"] == "queued"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=UTF-8",
        "Application/JSON",
        "application/x+json",
    ],
)
def test_json_by_any_of_its_names_is_taken(service: Service, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    response = service.client.post(CREATE, content=PROMPT.encode(), headers=headers)
    assert response.status_code == 202


@dataclass(frozen=True)
class BadGet:
    name: str
    path: str
    status: int
    code: str


def _id(name: str, written: str) -> BadGet:
    return BadGet(name, written, 404, "not_found")


ODD_IDS: Final = (
    _id("65 not a UUID", "zx81canary"),
    _id("65 uppercase", "0F8FAD5B-D9CB-469F-A165-70867728950E"),
    _id("65 braces", "%7B0f8fad5b-d9cb-469f-a165-70867728950e%7D"),
    _id("65 a URN", "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e"),
    _id("65 no hyphens", "0f8fad5bd9cb469fa16570867728950e"),
    _id("65 10**20", "100000000000000000000"),
    _id("65 0", "0"),
    _id("66 ..%2f", "..%2f..%2fetc%2fpasswd"),
    _id("66 %00", "0f8fad5b-d9cb-469f-a165-70867728950e%00"),
    _id("66 %c0%ae", "%c0%ae%c0%ae"),
    _id("66 %ff", "%ff"),
    _id("nobody's", "0f8fad5b-d9cb-469f-a165-70867728950e"),
)
ID_ROUTES: Final = (
    ("GET", "/api/v1/generation/status/{}"),
    ("GET", "/api/v1/generation/result/{}"),
    ("GET", "/api/v1/generation/{}/attempts"),
    ("GET", "/api/v1/generation/{}/events"),
    ("GET", "/api/v1/generation/{}/preview"),
    ("GET", "/api/v1/generation/{}/rendered/1"),
    ("POST", "/api/v1/generation/{}/cancel"),
    ("POST", "/api/v1/generation/{}/retry"),
    ("DELETE", "/api/v1/generation/{}"),
    ("GET", "/api/v1/images/{}"),
    ("GET", "/api/v1/images/{}/thumbnail"),
    ("GET", "/api/v1/batches/{}"),
    ("GET", "/api/v1/batches/{}/items"),
    ("GET", "/api/v1/batches/{}/results.zip"),
    ("GET", "/api/v1/batches/{}/contact-sheet"),
    ("POST", "/api/v1/batches/{}/cancel"),
    ("POST", "/api/v1/batches/{}/pause"),
    ("POST", "/api/v1/batches/{}/resume"),
    ("POST", "/api/v1/batches/{}/retry-failed"),
)


@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: odd.name)
def test_an_odd_id_is_nowhere(service: Service, odd: BadGet) -> None:
    for method, route in ID_ROUTES:
        response = service.client.request(method, route.format(odd.path))
        assert_problem(response, odd.status, odd.code)
        assert CANARY not in response.text


def _query(name: str, query: str, status: int = 422, code: str = "invalid_request") -> BadGet:
    return BadGet(name, f"{HISTORY}?{query}", status, code)


PAGES: Final = (
    _query("69 limit -1", "limit=-1"),
    _query("69 limit 0", "limit=0"),
    _query("70 limit 10**6", "limit=1000000"),
    _query("70 limit 10**20", "limit=100000000000000000000"),
    _query("limit of letters", "limit=zx81canary"),
    _query("71 offset -1", "offset=-1"),
    _query("72 offset 10**20", "offset=100000000000000000000"),
    _query("73 forged cursor", "cursor=zx81canary", 400, "invalid_cursor"),
    _query(
        "73 forged cursor of 10**20", "cursor=ZzEwMDAwMDAwMDAwMDAwMDAwMDAwMA", 400, "invalid_cursor"
    ),
    _query("73 cursor of digits in another script", "cursor=Z9mg2aE", 400, "invalid_cursor"),
    _query("73 empty cursor", "cursor=", 400, "invalid_cursor"),
    _query("73 endless cursor", f"cursor={'g' * 101}"),
    _query("75 q NUL", "q=zx81canary%00", 400, "bad_request"),
    _query("75 q %ff", "q=zx81canary%ff", 400, "bad_request"),
    _query("75 model NUL", "model=zx81canary%00", 400, "bad_request"),
    _query("q too long", f"q={'x' * 501}"),
    _query("76 impossible date", "created_after=2026-02-30T00:00:00Z"),
    _query("76 no date", "created_before=zx81canary"),
    _query("76 no time zone", "created_after=2026-01-31T12:00:00"),
    _query("76 after the last year", "created_after=9999-12-31T23:59:59-12:00"),
    _query("76 before the first year", "created_before=0001-01-01T00:00:00%2B12:00"),
    _query(
        "76 reversed dates",
        "created_after=2026-02-01T00:00:00Z&created_before=2026-01-01T00:00:00Z",
    ),
    _query("77 unknown status", "status=zx81canary"),
    _query("77 unknown status beside a known one", "status=queued&status=zx81canary"),
    _query("77 unknown sort", "sort=zx81canary"),
    _query("batch_id of nonsense", "batch_id=zx81canary"),
    _query("52 64 KB URI", f"q=zx81canary{'x' * 65_000}", 414, "bad_request"),
)


@pytest.mark.parametrize("bad", PAGES, ids=lambda bad: bad.name)
def test_a_bad_page_is_refused(service: Service, bad: BadGet) -> None:
    response = service.get(bad.path)

    assert_problem(response, bad.status, bad.code)
    assert CANARY not in response.text


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "QUERY"])
def test_62_a_method_of_nothing_is_not_taken(service: Service, method: str) -> None:
    for path in (CREATE, HISTORY, "/api/v1/models", BATCHES, "/healthz", "/readyz", "/metrics"):
        response = service.client.request(method, path)
        assert_problem(response, 405, "method_not_allowed")
        assert response.headers["allow"]


def test_60_a_method_override_is_ignored(service: Service) -> None:
    task_id = service.created()
    override = {"X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}

    response = service.get(f"/api/v1/generation/status/{task_id}", headers=override)
    assert response.status_code == 200
    refused = service.client.post(
        f"/api/v1/generation/{task_id}?_method=DELETE", headers=override, json={}
    )
    assert_problem(refused, 405, "method_not_allowed")
    assert service.status(task_id)["status"] == "queued"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CREATE, "POST"),
        ("POST", HISTORY, "GET"),
        ("PUT", "/api/v1/models", "GET"),
        ("DELETE", "/healthz", "GET"),
        ("OPTIONS", "/api/v1/options", "GET"),
        ("DELETE", "/api/v1/batches", "GET"),
        ("PUT", "/api/v1/batches", "POST"),
        ("GET", "/api/v1/batches/0f8fad5b-d9cb-469f-a165-70867728950e/cancel", "POST"),
        ("PUT", "/api/v1/schedules", "POST"),
        ("POST", "/healthz", "HEAD"),
        ("POST", "/docs", "GET"),
        ("OPTIONS", HISTORY, "HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    service: Service, method: str, path: str, allowed: str
) -> None:
    response = service.client.request(method, path)

    assert_problem(response, 405, "method_not_allowed")
    assert allowed in response.headers["allow"].split(", ")


@pytest.mark.parametrize(("path", "allowed"), [(CREATE, "POST"), (HISTORY, "GET, HEAD")])
def test_a_word_in_a_path_is_no_id(service: Service, path: str, allowed: str) -> None:
    for method in ("OPTIONS", "DELETE"):
        response = service.client.request(method, path)
        assert_problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == allowed


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "TRACE"])
def test_an_unknown_path_is_a_problem_too(service: Service, method: str) -> None:
    for path in ("/api/", "/api/v1", "/api/v1/nix", "/api/v2/generation/create", "/api/v1/models/"):
        assert_problem(service.client.request(method, path), 404, "not_found")


def test_nobody_may_embed_or_read_across_origins(service: Service) -> None:
    response: httpx.Response = service.get(HISTORY, headers={"Origin": "https://evil.test"})
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", [CREATE, BATCHES, SCHEDULES])
def test_of_very_many_mistakes_the_first_are_told(service: Service, path: str) -> None:
    body: dict[str, Any] = {f"nix{number}": 1 for number in range(9_000)}

    response = service.client.post(path, json=body)

    found = assert_problem(response, 422, "invalid_request")
    assert len(found["errors"]) == 100
    assert "(and " in found["detail"]
    assert len(response.content) < 20_000


def test_a_long_name_is_not_echoed_whole(service: Service) -> None:
    response = service.client.post(CREATE, json={"prompt": "a fox", "n" * 900_000: 1})
    assert_problem(response, 422, "invalid_request")
    assert len(response.content) < 2_000

    response = service.get(f"{HISTORY}?{'&'.join(f'nix{number}=' for number in range(1_000))}")
    assert len(assert_problem(response, 422, "invalid_request")["errors"]) == 100
