"""Ports: whether one is free, and which process listens when it is not."""

from __future__ import annotations

import contextlib
import errno
import os
import socket

import psutil


def is_free(host: str, port: int) -> bool:
    """Returns whether a server could listen there. OSError if ``host`` is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # as servers do; on Windows this would allow two listeners
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if isinstance(error, PermissionError) or is_in_use(error):
                return False
            raise
    return True


def free_port(host: str, preferred: int) -> int:
    """Returns the preferred port when it is free, else any."""
    if 0 < preferred < 65_536 and is_free(host, preferred):
        return preferred
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def holder(port: int) -> str | None:
    """Returns the listening process as ``name (pid 123)``; None if unknown."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status != psutil.CONN_LISTEN or connection.pid is None:
                continue
            if connection.laddr and connection.laddr.port == port:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None


def is_in_use(error: OSError) -> bool:
    """Returns whether another process has the port, or may have it only."""
    return error.errno in {errno.EADDRINUSE, errno.EACCES}
