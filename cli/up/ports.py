"""Ports: whether one is free, and who has it when it is not."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. OSError when ``host`` is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # as servers do; on Windows this would allow two listeners
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if isinstance(error, PermissionError) or _is_in_use(error):
                return False
            raise
    return True


def free_port(host: str, preferred: int) -> int:
    """The preferred port when it is free, else any."""
    if 0 < preferred < 65_536 and is_free(host, preferred):
        return preferred
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def holder(port: int) -> str | None:
    """Who listens on the port, as ``name (pid 123)``; None when this machine does not tell."""
    sockets = {f"socket:[{inode}]" for table in _TABLES for inode in _listening(table, port)}
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        with contextlib.suppress(OSError):
            if any(_target(link) in sockets for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text().strip()
                return f"{name} (pid {process.name})"
    return None


def _target(link: Path) -> str | None:
    """What an open file of a process is; None when it was closed since it was listed.

    One always is when a process lists its own: the folder that it listed.
    """
    try:
        return str(link.readlink())
    except OSError:
        return None


def _listening(table: Path, port: int) -> list[str]:
    """The inodes of the sockets that listen on a port."""
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    wanted = f":{port:04X}"
    return [row[9] for row in rows if row[1].endswith(wanted) and row[3] == _LISTEN]


def _is_in_use(error: OSError) -> bool:
    return error.errno in {errno.EADDRINUSE, errno.EACCES}
