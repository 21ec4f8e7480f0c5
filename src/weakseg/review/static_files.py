"""The files that a page consists of; they are read once, so that no request names a path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What a page consists of; other files beside it are not served."""


def static_routes(package: str) -> list[Route]:
    """Return what answers with each file of a page.

    Args:
        package: The package in whose folder `static` they lie; `index.html` is the page itself.
    """
    routes: list[Route] = []
    for file in (resources.files(package) / "static").iterdir():
        kind = STATIC_TYPES.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            place = "/" if file.name == "index.html" else f"/{file.name}"
            routes.append(Route(place, _answer_with(file.read_bytes(), kind)))
    return routes


def _answer_with(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    return answer
