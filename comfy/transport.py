"""Errors of the transport, translated to ComfyUI's."""

from __future__ import annotations

import httpx

from comfy.errors import (
    ComfyProtocolError,
    ComfyTimeoutError,
    ComfyUnreachableError,
    NothingSentError,
    TransientComfyError,
)
from comfy.reachability import UNREACHABLE
from core.text import readable
from core.urls import without_userinfo


def is_cut_short(exc: httpx.HTTPError) -> bool:
    """Whether the answer began and broke off; httpx has one class for that and for no answer."""
    return isinstance(exc, httpx.RemoteProtocolError) and "message body" in str(exc)


def translated(exc: httpx.HTTPError) -> TransientComfyError:
    """Returns the error that says what went wrong, and what the caller may do."""
    words = readable(without_userinfo(str(exc))) or type(exc).__name__
    if is_cut_short(exc):
        return ComfyProtocolError(f"ComfyUI's answer was cut short: {words}")
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
        return NothingSentError(f"{UNREACHABLE}: {words}")
    if isinstance(exc, httpx.TimeoutException):
        return ComfyTimeoutError(f"ComfyUI did not answer in time: {words}")
    if isinstance(exc, httpx.TransportError):
        return ComfyUnreachableError(f"{UNREACHABLE}: {words}")
    return ComfyProtocolError(f"ComfyUI's answer could not be read: {words}")
