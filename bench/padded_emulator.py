"""The emulator with videos of any size: ``python -m bench.padded_emulator BYTES …``.

A box that players skip (``free``) makes its short MP4s as long as BYTES say; the other arguments
are the emulator's.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from comfy.emulator import saving, videos
from comfy.emulator.__main__ import options, serve


def main() -> None:
    """Run until a signal."""
    size = int(sys.argv[1])
    plain = videos.video_file

    def padded(*arguments: Any) -> bytes:
        data = plain(*arguments)
        left = size - len(data)
        return data + left.to_bytes(4) + b"free" + os.urandom(1_000_000) * (left // 1_000_000)

    vars(saving)["video_file"] = padded
    asyncio.run(serve(options(sys.argv[2:])))


if __name__ == "__main__":
    main()
