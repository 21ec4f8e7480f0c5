"""Who may talk to the page's server: this machine's browser, on the page that was opened with the token.

Other web sites can make a browser send requests to a server of this machine. Each of these stops them by itself: the
token, which they do not know; the host's name, which is theirs if they let it point here; and the origin.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "x-weakseg-token"
"""The header in which the page sends the token; forms and links of other sites cannot."""

TOKEN_BYTES = 24
"""Random bytes of a token."""

GUARDED = "/api/"
"""What lies below needs the token; the page itself holds nothing of the run."""

MAX_HEADER_CHARACTERS = 4096
"""Longer addresses are refused."""

SAFE_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Sent with every answer: the page loads nothing from elsewhere, and no other page holds it in a frame."""

_READING = ("GET", "HEAD")


def make_token() -> str:
    """Return a random token, as text that an address can hold."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class Guard:
    """Refuses requests that do not come from the page.

    Args:
        app: What answers the others.
        token: The token.
        hosts: Names of this server as `Host` gives them: `127.0.0.1:8760`.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: frozenset[str]) -> None:
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

        refusal = self._refuse(scope)
        if refusal is None:
            await self._app(scope, receive, send_safely)
            return
        status, message = refusal
        await JSONResponse({"error": message}, status)(scope, receive, send_safely)

    def _refuse(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the words of a refusal, or None."""
        headers = Headers(scope=scope)
        if headers.get("host", "") not in self._hosts:
            return 421, "expected the address that 'weakseg review' printed"
        if len(scope["path"]) + len(scope["query_string"]) > MAX_HEADER_CHARACTERS:
            return 414, "the address is too long"
        origin = headers.get("origin")
        is_reading = scope["method"] in _READING
        if (origin is None and not is_reading) or (
            origin is not None and origin.removeprefix("http://") not in self._hosts
        ):
            return 403, "expected a request of the page itself"
        given = headers.get(TOKEN_HEADER, "")
        if scope["path"].startswith(GUARDED) and not secrets.compare_digest(given.encode(), self._token.encode()):
            return 403, "expected the token; open the address that 'weakseg review' printed when it started"
        return None
