"""The last route: paths of the API that no other route takes with this method.

Without it they would reach the page, which answers with a page of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import Receive, Scope, Send

from api.handlers import problem_response
from core.problems import problem


class NothingHere(BaseRoute):
    """405 where another method is taken, 404 for other paths under ``/api/``."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, Route)]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Returns whether the path is the API's."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path = scope["path"]
        is_ours = path.startswith("/api/") or bool(self._methods(path))
        return (Match.FULL if is_ours else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the problem."""
        allowed = ", ".join(self._methods(scope["path"]))
        if allowed:
            found = problem("method_not_allowed", f"this path takes {allowed}")
            answer = problem_response(found, {"Allow": allowed})
        else:
            detail = "there is no such path; see /docs for those there are"
            answer = problem_response(problem("not_found", detail))
        await answer(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        """No path is made from it. Raises NoMatchFound."""
        raise NoMatchFound(name, path_params)

    def _methods(self, path: str) -> list[str]:
        """Returns the methods that the path is taken with."""
        found = {
            method
            for route in self._routes
            if route.path_regex.match(path)
            for method in route.methods or ()
        }
        return sorted(found | {"HEAD"} if "GET" in found else found)
