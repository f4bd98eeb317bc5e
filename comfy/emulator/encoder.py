"""PyAV, which writes and reads videos and sounds: it need not be there."""

from typing import Any


def encoder(what: str) -> Any:
    """PyAV. Raises RuntimeError, which becomes the node's error, if it is not installed."""
    try:
        import av
    except ImportError as error:
        raise RuntimeError(f"the emulator needs PyAV for {what}: pip install av") from error
    return av
