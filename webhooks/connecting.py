"""Opens the connection of one try: to an address that the guard returned, and no other."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpcore

from core.callbacks.addresses import Address
from core.callbacks.url import Receiver
from webhooks.errors import NotConnectedError

Connect = Callable[[Address, int], Awaitable[httpcore.AsyncNetworkStream]]
"""Opens a connection to an address and port. Raises httpcore.ConnectError."""


async def connect_to(address: Address, port: int) -> httpcore.AsyncNetworkStream:
    """Open a connection to exactly this address; no name is looked up."""
    return await httpcore.AnyIOBackend().connect_tcp(str(address), port)


async def connected(
    connect: Connect, addresses: Sequence[Address], port: int, until: float
) -> httpcore.AsyncNetworkStream:
    """Returns a connection to the first address that takes one; ``until`` by the loop's clock.

    Each address has its part of the time, so that one that never answers does not use all of it;
    the caller limits the last one. Raises NotConnectedError, which tells of the last address.
    """
    now = asyncio.get_running_loop().time
    problem: NotConnectedError | None = None
    for place, address in enumerate(addresses):
        left = len(addresses) - place
        try:
            async with asyncio.timeout((until - now()) / left if left > 1 else None):
                return await connect(address, port)
        except TimeoutError:
            problem = NotConnectedError(f"{address} did not take a connection in time")
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            problem = NotConnectedError(f"no connection to {address}: {reason_of(error)}")
    assert problem is not None
    raise problem


async def encrypted(
    stream: httpcore.AsyncNetworkStream, receiver: Receiver, tls: ssl.SSLContext
) -> httpcore.AsyncNetworkStream:
    """Returns the connection with TLS, its certificate checked for the receiver's host.

    Raises NotConnectedError; the connection is closed then.
    """
    try:
        return await stream.start_tls(tls, server_hostname=receiver.host.rstrip("."))
    except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
        raise NotConnectedError(
            f"no trusted connection to {receiver.shown}: {reason_of(error)}"
        ) from error


def reason_of(error: BaseException) -> str:
    """Returns what the operating system or TLS says of an error of the libraries above them."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"{found.verify_message} (EASEL_WEBHOOKS__CA_FILE names further certificates)"
        if isinstance(found, ssl.SSLError):
            return (found.reason or str(found)).replace("_", " ").lower()
        if isinstance(found, OSError) and found.errno is not None:
            return os.strerror(found.errno)
        found = found.__cause__ or found.__context__
    return str(error) or "the connection was closed"
