"""The format of the API's log lines: time, level, logger, message."""

from __future__ import annotations

from typing import Any, Final

LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "%(asctime)s.%(msecs)03d | %(levelname)-7s | %(name)s - %(message)s",
            "datefmt": "%Y-%m-%d %H:%M:%S",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    # These log each request they send, each migration they checked.
    "loggers": {name: {"level": "WARNING"} for name in ("httpx", "alembic")},
}
"""For ``logging.config.dictConfig``. The worker's lines are Prefect's, and look alike."""
