"""Notices: what a request gets in another way than it asked for; it is accepted all the same.

On the wire they are the ``warnings`` of a status document.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Notice(BaseModel):
    """``loc`` is the place in the request, as in the errors of a problem. ``code`` is stable."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    loc: tuple[str | int, ...] = ()
    message: str
