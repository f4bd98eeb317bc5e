"""The API, as the commands of `easel workflows` ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError
from cli.console import BAD_USAGE, FAILED, UNREACHABLE, CommandError
from core.urls import without_userinfo


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[ApiClient]:
    """Open a client. Whatever it raises becomes a CommandError that says what to do."""
    async with ApiClient(url) as client:
        try:
            yield client
        except ApiUnreachableError as error:
            raise CommandError(
                f"{error}. Start Easel with `easel up`, or name its address with --api URL "
                "(or EASEL_API_URL).",
                UNREACHABLE,
            ) from error
        except ApiRefusedError as error:
            if not error.problem.get("code"):
                raise CommandError(
                    f"{without_userinfo(url)} answers, but not as Easel does.", UNREACHABLE
                ) from error
            code = BAD_USAGE if error.status in {400, 404, 409, 412, 413, 415, 422} else FAILED
            raise CommandError(f"{error}.", code) from error
