"""Another time of day for a process, while its monotonic clock goes on as ever (Linux)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

CAN_SHIFT: Final = sys.platform == "linux" and shutil.which("cc") is not None
"""Whether this machine can: it needs a C compiler, and a loader that knows LD_PRELOAD."""
_FILE_VARIABLE: Final = "CLOCK_SHIFT_FILE"
_SOURCE: Final = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *path;
static long long last_ns;

__attribute__((constructor)) static void begin(void) { path = getenv("CLOCK_SHIFT_FILE"); }

static long long shift_ns(void) {
    int before = errno, file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    char text[32] = {0};
    if (file >= 0 && read(file, text, sizeof text - 1) > 0) last_ns = strtoll(text, NULL, 10);
    if (file >= 0) close(file);
    else if (errno == ENOENT) last_ns = 0;
    errno = before;
    return last_ns;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (failed || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return failed;
    long long ns = now->tv_nsec + shift_ns(), rest = (ns % 1000000000 + 1000000000) % 1000000000;
    now->tv_sec += (ns - rest) / 1000000000;
    now->tv_nsec = rest;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME_COARSE, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"""


class ClockShim:
    """Shifts the time of day of the processes that were started with its ``env``.

    It starts at no shift. Shims of one folder share the library, and by their names not the shift.
    What the kernel itself does by the clock (stamps of files, timed waits) keeps the true time.
    """

    def __init__(self, folder: Path, name: str = "clock") -> None:
        self._library = folder / "clock_shim.so"
        self._file = folder / f"{name}.shift_ns"
        if not self._library.exists():
            _build(self._library)
        self.shift(0)

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment; its children inherit it."""
        before = os.environ.get("LD_PRELOAD", "")
        return {
            "LD_PRELOAD": f"{self._library} {before}".strip(),
            _FILE_VARIABLE: str(self._file),
        }

    def shift(self, seconds: float) -> None:
        """Set the clock that far ahead of the true time (behind, if negative), at once."""
        _replace(self._file, str(round(seconds * 1e9)))


def _build(library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as workshop:
        built = Path(workshop, library.name)
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-x", "c", "-", "-o", str(built)],
            input=_SOURCE,
            text=True,
            check=True,
            capture_output=True,
            timeout=60,
        )
        built.replace(library)


def _replace(file: Path, text: str) -> None:
    """Write so that no reader sees half of it."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as new:
        new.write(text)
    Path(new.name).replace(file)
