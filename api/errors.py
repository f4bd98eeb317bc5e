"""The facade's errors: each is a problem, and each problem an answer (RFC 9457).

ProblemError
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.problems import Problem, problem


class ProblemError(Exception):
    """Ends a request with a problem. ``code`` is one of ``core.problems.KINDS``."""

    def __init__(
        self, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        self.problem: Problem = problem(code, detail, **more)
        self.headers = dict(headers or {})
        super().__init__(detail)
