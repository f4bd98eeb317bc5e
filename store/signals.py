"""Signals between the processes that have the same store open: something was committed, look now.

A signal is a hint. It may be lost or arrive twice, and tells nothing but its name; whoever waits
for one looks from time to time all the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

from sqlalchemy import Connection

Signal = Literal["changes", "queue", "outbox", "gate", "sources", "batches"]
"""Generations have changed; one may be taken from the queue; entries of the outbox are due; an
operator has paused, limited or let go something in Prefect; a worker is asked for a file of its
ComfyUI, or has answered; a batch that was not under way is."""
SIGNALS: Final[tuple[Signal, ...]] = ("changes", "queue", "outbox", "gate", "sources", "batches")
_PENDING: Final = "easel_signals"
_LONGEST_PATH: Final = 100
"""Bytes: a socket's address has at most 108 on Linux, 104 on macOS."""
_FULL: Final = 8
"""So many unread datagrams may be all that a socket has room for: others may have been lost."""
_log = logging.getLogger(__name__)


def signal(connection: Connection, name: Signal) -> None:
    """Send this signal when the transaction is committed."""
    connection.info.setdefault(_PENDING, set()).add(name)


def pending(connection: Connection) -> list[Signal]:
    """Returns what is to be sent when the transaction is committed, and forgets it.

    What a transaction that was rolled back left is sent with the connection's next one: a signal
    too many costs a look.
    """
    return sorted(connection.info.pop(_PENDING, ()))


class Hearing:
    """Who is called for which signal, in the event loop."""

    def __init__(self) -> None:
        self._calls: dict[Signal, list[Callable[[], None]]] = {name: [] for name in SIGNALS}

    @contextmanager
    def listening(self, name: Signal, call: Callable[[], None]) -> Iterator[None]:
        """Call it at each signal of that name. It must be quick, and raise nothing."""
        self._calls[name].append(call)
        try:
            yield
        finally:
            self._calls[name].remove(call)

    def tell(self, names: Collection[str]) -> None:
        """These signals have arrived. Unknown ones may come from another version."""
        for name in SIGNALS:
            if name in names:
                for call in tuple(self._calls[name]):
                    call()


class Datagrams:
    """Signals by datagrams: each process that hears has a socket in a folder next to the file.

    ``is_open`` is False where that is not possible; then the process hears nothing.
    """

    def __init__(self, database: Path, told: Callable[[Collection[str]], None]) -> None:
        self._folder = folder_of(database)
        self._told = told
        self._path = self._folder / f"{uuid4().hex[:12]}.sock"
        self._in: socket.socket | None = None
        self._out: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        """Whether signals arrive."""
        return self._in is not None

    def open(self) -> socket.socket | None:
        """Open the socket; ``read`` is to be called whenever it can be read. None if impossible."""
        try:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except (AttributeError, OSError) as error:
            _log.info("no signals between processes: %s", error)
            return None
        try:
            _make_private(self._folder)
            made.bind(str(self._path))
        except OSError as error:
            made.close()
            _log.info("no signals between processes in %s: %s", self._folder, error)
            return None
        made.setblocking(False)
        self._in = made
        return made

    def read(self) -> None:
        """Read what has arrived, and tell."""
        names: set[str] = set()
        count = 0
        while self._in is not None:
            try:
                names.add(self._in.recv(64).decode("ascii", "replace"))
            except OSError:  # nothing more
                break
            count += 1
        if count >= _FULL:
            names.update(SIGNALS)
        self._told(names)

    def send(self, names: Collection[Signal]) -> None:
        """Send them to every process that hears, this one too. Called by one thread at a time."""
        if not names:
            return
        if self._out is None:
            try:
                self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            except (AttributeError, OSError):
                return
            self._out.setblocking(False)
        with contextlib.suppress(OSError), os.scandir(self._folder) as found:
            for entry in found:
                if entry.name.endswith(".sock"):
                    self._send_to(self._out, entry.path, names)

    def _send_to(self, out: socket.socket, path: str, names: Collection[Signal]) -> None:
        for name in names:
            try:
                out.sendto(name.encode("ascii"), path)
            except ConnectionRefusedError:  # its process was killed
                with contextlib.suppress(OSError):
                    Path(path).unlink()
                return
            except OSError:  # it has many unread: it will look
                return

    def close(self) -> None:
        """Hear and send nothing more."""
        if self._in is not None:
            self._in.close()
            self._in = None
            with contextlib.suppress(OSError):
                self._path.unlink()
            with contextlib.suppress(OSError):  # the last one removes the folder
                self._folder.rmdir()
        if self._out is not None:
            self._out.close()
            self._out = None


def folder_of(database: Path) -> Path:
    """Returns the folder of the sockets of those who have this file open."""
    absolute = Path(os.path.realpath(database))
    beside = absolute.with_name(f"{absolute.name}-signals")
    if len(os.fsencode(beside)) + 20 <= _LONGEST_PATH:
        return beside
    name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"easel-{os.getuid()}-{name}"


def _make_private(folder: Path) -> None:
    """Make the folder. Raises PermissionError for one of another user: the temporary one may be."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
