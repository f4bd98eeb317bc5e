"""Pages of other sites, in a browser on the machine of Easel and its Prefect server.

``evil.example`` and ``pictures.example`` lead to 127.0.0.1 in this browser: the first as a site of
its own and by DNS rebinding, the second as a name that Easel is allowed to have.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import FOREIGN_NAME, OWN_NAME
from tests.browser.conftest import PATIENCE_S, connected
from tests.browser.house import Api, Worker, resolved
from tests.browser.test_journeys import finished, generate
from tests.flows.prefect_server import Server, started
from tests.harness.proxy import FaultProxy
from tests.harness.waiting import wait_until

BASE: Final = "/api/v1/generation"
_FETCH: Final = """([url, options]) => fetch(url, options)
  .then((r) => r.text().then((text) => [r.type, r.status, text]))
  .catch((error) => ['failed', 0, String(error)])"""
_SOCKET: Final = """(url) => new Promise((resolve) => {
  const socket = new WebSocket(url, url.includes('/events/') ? ['prefect'] : []);
  socket.onopen = () => { resolve('open'); socket.close(); };
  socket.onerror = () => resolve('error');
})"""
_SUBMIT: Final = """(url) => new Promise((resolve) => {
  const frame = document.createElement('iframe');
  frame.name = 'answer';
  document.body.append(frame);
  frame.onload = () => resolve();
  const form = document.createElement('form');
  form.method = 'POST'; form.action = url; form.target = 'answer';
  document.body.append(form);
  form.submit();
})"""
_FRAME: Final = """(url) => new Promise((resolve) => {
  const frame = document.createElement('iframe');
  frame.onload = () => resolve();
  frame.src = url;
  document.body.append(frame);
})"""

_SHOW: Final = """(url) => new Promise((resolve) => {
  const image = new Image();
  image.onload = () => resolve(image.naturalWidth);
  image.onerror = () => resolve(0);
  image.src = url;
})"""


@dataclass(frozen=True)
class Elsewhere:
    """Another site: its page has no content, tests run scripts in it."""

    port: int

    @property
    def url(self) -> str:
        return f"http://{FOREIGN_NAME}:{self.port}/"


class _Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>elsewhere</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Elsewhere(server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory, prefect_database: Any) -> Iterator[Server]:
    there = Server(tmp_path_factory.mktemp("prefect"), prefect_database)
    with started(there, within=PATIENCE_S * 2) as server:
        yield server


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A tab that goes anywhere."""
    context = browser.new_context(accept_downloads=True)
    context.set_default_timeout(PATIENCE_S * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture
def foreign(tab: Page, elsewhere: Elsewhere) -> Page:
    """The other site's page."""
    tab.goto(elsewhere.url)
    return tab


def create(api: Api, prompt: str) -> str:
    request = urllib.request.Request(
        f"{api.url}{BASE}/create",
        json.dumps({"prompt": prompt}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["task_id"])


def status(api: Api, task_id: str) -> str:
    with urllib.request.urlopen(f"{api.url}{BASE}/status/{task_id}") as answer:
        return str(json.load(answer)["status"])


def test_a_foreign_page_cancels_nothing(foreign: Page, api: Api, worker: Worker) -> None:
    worker.hold()
    task_id = create(api, "the victim")
    url = f"{api.url}{BASE}/{task_id}/cancel"
    fetched = foreign.evaluate(_FETCH, [url, {"method": "POST", "mode": "no-cors"}])
    assert fetched[0] in {"opaque", "failed"}
    foreign.evaluate("(url) => navigator.sendBeacon(url)", url)
    with foreign.expect_response(url) as answered:
        foreign.evaluate(_SUBMIT, url)
    assert answered.value.status == 403
    assert status(api, task_id) in {"queued", "running"}
    with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as answer:
        assert json.load(answer)["status"] in {"cancelling", "cancelled"}  # it could be


def test_a_foreign_page_reads_nothing(foreign: Page, api: Api, prefect: Server) -> None:
    filtered = {
        "method": "POST",
        "body": "{}",
        "headers": {"Content-Type": "application/json"},
    }
    plain = {**filtered, "headers": {"Content-Type": "text/plain"}}
    polling = f"{api.url}/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    for url, options in (
        (f"{api.url}{BASE}/history", {}),
        (polling, {}),
        (f"{prefect.http.base_url}flow_runs/filter", filtered),
        (f"{prefect.http.base_url}flow_runs/filter", plain),
        (f"{prefect.http.base_url}artifacts/filter", filtered),
        (f"{prefect.http.base_url}admin/version", {}),
    ):
        assert foreign.evaluate(_FETCH, [url, options])[0] == "failed", url


def test_a_foreign_page_opens_no_websocket(
    tab: Page, elsewhere: Elsewhere, api: Api, prefect: Server
) -> None:
    port = prefect.http.base_url.port
    pages = f"ws://127.0.0.1:{api.port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    events = f"ws://127.0.0.1:{port}/api/events/out"
    tab.goto(elsewhere.url)
    assert tab.evaluate(_SOCKET, pages) == "error"
    assert tab.evaluate(_SOCKET, events) == "error"
    tab.goto(f"{api.url}/docs")
    assert tab.evaluate(_SOCKET, pages) == "open"
    tab.goto(f"http://127.0.0.1:{port}/dashboard")
    assert tab.evaluate(_SOCKET, events) == "open"


def test_a_name_that_was_rebound_is_refused(tab: Page, api: Api, prefect: Server) -> None:
    port = prefect.http.base_url.port
    for address, path in ((api.port, "/"), (api.port, f"{BASE}/history"), (port, "/api/health")):
        answer = tab.goto(f"http://{FOREIGN_NAME}:{address}{path}")
        assert answer is not None
        assert (answer.status, answer.json()["code"]) == (403, "unknown_host")


def test_no_page_is_shown_in_a_frame(foreign: Page, api: Api, prefect: Server) -> None:
    own = f"http://127.0.0.1:{prefect.http.base_url.port}"
    urls = [f"{api.url}/", f"{api.url}/docs", f"{api.url}{BASE}/history", f"{own}/dashboard"]
    for url in urls:
        foreign.evaluate(_FRAME, url)
    shown = [frame.url for frame in foreign.frames[1:]]
    assert len(shown) == len(urls)
    assert not [url for url in shown if url.startswith("http")], shown


def test_a_foreign_page_shows_pictures_but_makes_no_pages(
    foreign: Page, api: Api, worker: Worker
) -> None:
    """Prefect's UI shows pictures in artifacts; each page that is made costs memory for a while."""
    task_id = worker.seed(resolved("shown elsewhere"))
    with urllib.request.urlopen(f"{api.url}{BASE}/result/{task_id}") as answer:
        [image] = json.load(answer)["images"]
    assert foreign.evaluate(_SHOW, image["url"]) == 512
    assert foreign.evaluate(_SHOW, image["thumbnail_url"]) == 384
    with foreign.expect_response(f"{api.url}/") as answered:
        foreign.evaluate(_FRAME, f"{api.url}/")
    assert answered.value.status == 403
    with foreign.expect_response(f"{api.url}/") as answered:  # a link
        foreign.evaluate("(url) => { location.href = url; }", f"{api.url}/")
    assert answered.value.status == 200


def test_a_deleted_picture_is_not_shown_from_the_browsers_cache(
    tab: Page, api: Api, worker: Worker
) -> None:
    task_id = worker.seed(resolved("soon gone"))
    with urllib.request.urlopen(f"{api.url}{BASE}/result/{task_id}") as answer:
        [image] = json.load(answer)["images"]
    tab.goto(f"{api.url}/docs")
    for url in (image["url"], image["thumbnail_url"]):
        assert tab.evaluate(_FETCH, [url, {}])[1] == 200
        assert tab.evaluate(_FETCH, [url, {}])[1] == 200
    request = urllib.request.Request(f"{api.url}{BASE}/{task_id}", method="DELETE")
    urllib.request.urlopen(request).close()
    for url in (image["url"], image["thumbnail_url"]):
        assert tab.evaluate(_FETCH, [url, {}])[1] == 404


def test_pictures_and_downloads_opened_as_documents_work(
    tab: Page, api: Api, worker: Worker
) -> None:
    task_id = worker.seed(resolved("seen alone"))
    with urllib.request.urlopen(f"{api.url}{BASE}/result/{task_id}") as answer:
        [image] = json.load(answer)["images"]
    tab.goto(image["url"])
    expect(tab.locator("img")).to_have_js_property("complete", True)
    assert tab.evaluate("document.images[0].naturalWidth") == 512

    batch = api.begin_batch(items=[{"prompt": "in a ZIP"}])
    wait_until(lambda: api.batch(batch)["status"] == "succeeded", "the batch", within=PATIENCE_S)
    tab.goto(f"{api.url}/b/{batch}")
    connected(tab)
    with tab.expect_download() as downloaded:
        tab.evaluate("(url) => { location.href = url; }", f"/api/v1/batches/{batch}/results.zip")
    assert downloaded.value.path().read_bytes().startswith(b"PK")


def test_the_documentation_works_and_asks_no_other_machine(tab: Page, api: Api) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.goto(f"{api.url}/docs")
    expect(tab.locator(".opblock").first).to_be_visible()
    assert not [url for url in asked if not url.startswith((api.url, "data:"))]
    assert not [text for text in complaints if "Content Security Policy" in text]


def test_prefects_pages_work(tab: Page, prefect: Server) -> None:
    flow = prefect.post("/flows/", name="drawn")
    prefect.a_run(flow, "COMPLETED")
    refused: list[str] = []
    tab.on(
        "response",
        lambda answer: refused.append(answer.url) if answer.status in {401, 403} else None,
    )
    own = f"http://127.0.0.1:{prefect.http.base_url.port}"
    for path, shown in (
        ("dashboard", "Flow Runs"),
        ("runs", "drawn"),
        ("deployments", "eployments"),
    ):
        tab.goto(f"{own}/{path}")
        expect(tab.get_by_text(shown).first).to_be_visible()
    assert refused == []


def test_a_reverse_proxy_under_an_allowed_name(tab: Page, api: Api, worker: Worker) -> None:
    """It passes the name and its own port on; the page works as at its own address."""
    with FaultProxy(api.port) as proxy:
        tab.goto(f"http://{OWN_NAME}:{proxy.port}/")
        connected(tab)
        generate(tab, "by another name")
        finished(tab)
        tab.goto("about:blank")
