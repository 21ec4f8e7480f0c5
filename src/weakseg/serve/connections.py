"""Connections on which nothing is asked are given up: each holds a file, of which a process may have only so many."""

from __future__ import annotations

import asyncio

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HEAD_S = 15.0
"""A request's head must have arrived within so many seconds, or twice as many after an earlier answer."""


class Connection(H11Protocol):
    """A connection that is closed when no request comes; uvicorn waits for ever for the head of one.

    What takes long after its head, a body or an answer, has limits of its own.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._next_look: asyncio.TimerHandle | None = None
        self._answered: object = None  # what the connection waited after at the last look

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._next_look = self.loop.call_later(HEAD_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._next_look is not None:
            self._next_look.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        is_waiting = self.cycle is None or self.cycle.response_complete
        if is_waiting and self._answered is self.cycle:
            self.transport.close()
            return
        self._answered = self.cycle if is_waiting else self
        self._next_look = self.loop.call_later(HEAD_S, self._look)
