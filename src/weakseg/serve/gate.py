"""Who may ask: with a token whoever has it, without one this machine alone.

Other web sites can make a browser send requests to a server of this machine. Without a token, the host's name and the
origin stop them: their pages have another origin, and a name of theirs that points here is another host.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weakseg.review.security import MAX_HEADER_CHARACTERS, SAFE_HEADERS

GUARDED = "/predict"
"""What needs the token; the page holds nothing of the model, and `/health` tells its name only to those who have it."""

MAY_KNOW = "may_know"
"""Entry of a request's state: whether the client has the token, or needs none."""

_SCHEME = "bearer "


def is_loopback(host: str) -> bool:
    """Say whether a name or address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def local_names(port: int, *, also: Iterable[str] = ()) -> frozenset[str]:
    """Return what requests of this machine call the server in `Host`."""
    return frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", *also))


class Gate:
    """Refuses requests of those who may not ask.

    Args:
        app: What answers the others.
        token: What they must send as `Authorization: Bearer TOKEN`; None if only this machine can reach the server.
        hosts: Without a token, what `Host` must be.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: frozenset[str]) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of HTTP; nothing else is served."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers[name] = value
            await send(message)

        headers = Headers(scope=scope)
        may_know = self._token is None or _has_token(headers, self._token)
        scope.setdefault("state", {})[MAY_KNOW] = may_know
        refusal = self._refuse(scope, headers, may_know=may_know)
        if refusal is None:
            await self._app(scope, receive, send_safely)
            return
        status, message = refusal
        more = {"www-authenticate": "Bearer"} if status == 401 else None
        await JSONResponse({"error": message}, status, headers=more)(scope, receive, send_safely)

    def _refuse(self, scope: Scope, headers: Headers, *, may_know: bool) -> tuple[int, str] | None:
        """Return the status and the words of a refusal, or None."""
        if len(scope["path"]) + len(scope["query_string"]) > MAX_HEADER_CHARACTERS:
            return 414, "the address is too long"
        if self._token is not None:
            if scope["path"] == GUARDED and not may_know:
                return 401, "expected the header 'Authorization: Bearer TOKEN', with the token that the server has"
            return None
        if headers.get("host", "") not in self._hosts:
            return 421, "expected the address that 'weakseg serve' printed; with --token any name will do"
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            return 403, "pages of other sites may not ask"
        return None


def _has_token(headers: Headers, token: str) -> bool:
    given = headers.get("authorization", "")
    if not given.lower().startswith(_SCHEME):
        return False
    return secrets.compare_digest(given[len(_SCHEME) :].strip().encode(), token.encode())
