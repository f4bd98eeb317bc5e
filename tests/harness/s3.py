"""A server that speaks as much of S3 as Easel needs, keeps objects in memory, and can go away.

Signatures are not checked. It counts nothing by itself: a test looks at ``objects``.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.harness.processes import free_port

BUCKET: Final = "pictures"
_MODIFIED: Final = "2026-01-01T00:00:00.000Z"


class S3Server:
    """Use as a context manager. ``stop`` and ``start`` again on the same port: objects are kept."""

    def __init__(self) -> None:
        self.port = free_port()
        self.objects: dict[str, bytes] = {}
        self.puts = threading.Semaphore(0)
        """Released once by each PUT that has arrived."""
        self.may_put = threading.Event()
        """While it is not set, PUTs wait."""
        self.may_put.set()
        self.has_bucket = True
        self._server: ThreadingHTTPServer | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What obstore reads."""
        return {
            "AWS_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "easel",
            "AWS_SECRET_ACCESS_KEY": "easel",
            "AWS_REGION": "us-east-1",
        }

    url: Final = f"s3://{BUCKET}/easel"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.may_put.set()
        self.stop()

    def start(self) -> None:
        """Listen."""
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler_of(self))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self._server = server

    def stop(self) -> None:
        """Refuse connections; requests that have begun are answered."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Away while the block runs."""
        self.stop()
        yield
        self.start()


def _handler_of(server: S3Server) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        s3 = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    s3: S3Server

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.s3.puts.release()
        self.s3.may_put.wait()
        self.s3.objects[self._key] = data
        self._answer(200, headers={"ETag": _etag(data)})

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._list(query.get("prefix", [""])[0])
            return
        self._object(with_body=True)

    def do_HEAD(self) -> None:
        self._object(with_body=False)

    def do_POST(self) -> None:
        """DeleteObjects, the one POST that is sent for objects of one part."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        keys = [found.text or "" for found in ElementTree.fromstring(body).iter() if _is_key(found)]
        for key in keys:
            self.s3.objects.pop(key, None)
        deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")

    def _object(self, *, with_body: bool) -> None:
        data = self.s3.objects.get(self._key)
        if data is None:
            self._error(404, "NoSuchKey")
            return
        headers = {"ETag": _etag(data), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        status, wanted = 200, self.headers.get("Range")
        if wanted is not None:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = min(int(last), len(data) - 1) if last else len(data) - 1
            headers["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
            status, data = 206, data[int(first) : end + 1]
        self._answer(status, data, headers, with_body=with_body)

    def _list(self, prefix: str) -> None:
        if not self.s3.has_bucket:
            self._error(404, "NoSuchBucket")
            return
        found = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_MODIFIED}</LastModified>"
            f"<ETag>{escape(_etag(data))}</ETag><Size>{len(data)}</Size></Contents>"
            for key, data in sorted(self.s3.objects.items())
            if key.startswith(prefix)
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
        self._answer(200, body.encode(), {"Content-Type": "application/xml"})

    def _error(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code></Error>".encode())

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        with_body: bool = True,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _is_key(element: ElementTree.Element) -> bool:
    return element.tag.rpartition("}")[2] == "Key"


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
