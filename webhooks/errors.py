"""Why an event could not be sent. Their texts are for operators: they name hosts, never URLs."""

from __future__ import annotations


class WebhooksError(Exception):
    """What goes wrong between Easel and a receiver."""


class HostUnknownError(WebhooksError):
    """The host's name has no address, or was not looked up in time."""


class AddressRefusedError(WebhooksError):
    """The host has no address that may be connected to."""


class NotConnectedError(WebhooksError):
    """There is no connection to the receiver, or no trusted one."""


class NoAnswerError(WebhooksError):
    """The receiver took the connection and did not answer in HTTP."""
