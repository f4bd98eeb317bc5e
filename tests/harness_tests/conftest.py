"""A proxy with a server behind it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.harness.proxy import FaultProxy
from tests.harness_tests.upstream import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[FaultProxy]:
    with FaultProxy(upstream.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, timeout=40, trust_env=False) as client:
        yield client
