"""The application: an image in, its mask out, within limits; every mistake is a line of JSON."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass

import torch
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from weakseg import __version__
from weakseg.data.received import TooManyPixels, UnknownFormat
from weakseg.errors import DataError, WeaksegError
from weakseg.review.static_files import static_routes
from weakseg.review.wire import TooLarge, read_body
from weakseg.serve.answers import Labeller
from weakseg.serve.gate import GUARDED, MAY_KNOW, Gate
from weakseg.serve.wishes import MEDIA_TYPES, NotAcceptable, Wish, parse_wish

logger = logging.getLogger("weakseg")

MEGA = 1_000_000
DEFAULT_MAX_MB, DEFAULT_MAX_MEGAPIXELS, DEFAULT_WAITING = 20, 50, 8

READ_S = 30.0
"""An image must have arrived within so many seconds."""

DRAIN_S = 5.0
"""So long what still arrives of a refused image is thrown away: many clients hear nothing before they have sent all."""

RETRY_AFTER_S = 2
"""What a client is told to wait when too many images are there."""

_STATUS: tuple[tuple[type[WeaksegError], int], ...] = (
    (TooLarge, 413),
    (TooManyPixels, 413),
    (UnknownFormat, 415),
    (NotAcceptable, 406),
    (DataError, 400),
)

_EARLY = (400, 406, 413, 415)
"""Refusals that may come before the image has arrived, besides those that say when to ask again."""


@dataclass(frozen=True)
class Limits:
    """What one client may ask of the server.

    Args:
        max_bytes: Larger files are refused.
        max_pixels: Larger images are refused.
        waiting: So many images may wait while one is looked at; more are refused.
        read_s: Seconds within which an image must have arrived.
    """

    max_bytes: int = DEFAULT_MAX_MB * MEGA
    max_pixels: int = DEFAULT_MAX_MEGAPIXELS * MEGA
    waiting: int = DEFAULT_WAITING
    read_s: float = READ_S


class PredictServer:
    """Answers requests with masks, one image at a time: the network uses all threads there are.

    Args:
        labeller: The network.
        limits: What may be asked.
    """

    def __init__(self, labeller: Labeller, limits: Limits) -> None:
        self._labeller = labeller
        self._limits = limits
        self._model = labeller.describe()
        self._turn = asyncio.Lock()
        self._present = 0
        self._is_working = False

    def is_working(self) -> bool:
        """Say whether an image is being looked at, also one that nobody waits for any more."""
        return self._is_working

    def routes(self) -> list[Route]:
        """Return what is answered."""
        return [
            *static_routes(__package__),
            Route("/health", self.health),
            Route(GUARDED, self.predict, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        """Say that the server is ready and, to whoever may ask for masks, what it serves."""
        document: dict[str, object] = {"ready": True, "version": __version__}
        if getattr(request.state, MAY_KNOW):
            limits = {"bytes": self._limits.max_bytes, "pixels": self._limits.max_pixels}
            document |= {**self._model, "limits": limits, "images": self._present}
        return JSONResponse(document, headers={"cache-control": "no-store"})

    async def predict(self, request: Request) -> Response:
        """Answer an image."""
        answer = await self._answer_or_tell(request)
        is_early = answer.status_code in _EARLY or "retry-after" in answer.headers
        if is_early and "expect" not in request.headers:  # who expects 100 waits with the image
            await _drain(request)
        return answer

    async def _answer_or_tell(self, request: Request) -> Response:
        if self._present > self._limits.waiting:
            told = {"error": f"{self._present} images are here already; ask again in {RETRY_AFTER_S} seconds"}
            return JSONResponse(told, 503, headers={"retry-after": str(RETRY_AFTER_S)})
        self._present += 1
        try:
            return await self._answer(request)
        except WeaksegError as error:
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
            logger.log(logging.WARNING if status == 500 else logging.INFO, "%s", error)
            return _tell(" ".join(str(error).split()), status)
        except TimeoutError:
            return _tell(f"the image has not arrived within {self._limits.read_s:g} seconds", 408)
        except (MemoryError, torch.OutOfMemoryError):
            logger.warning("the memory does not suffice for an image; lower --max-megapixels or --tile-px")
            return _tell("the memory does not suffice for this image; scale it down", 507)
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        except asyncio.CancelledError:  # by uvicorn, which is told to stop and has waited long enough
            logger.warning("an image was given up, since the server stops")
            return _tell("the server stops; ask again later", 503)
        except Exception as error:
            logger.exception("an error that nobody foresaw")
            return _tell(f"an error that nobody foresaw, {type(error).__name__}; the server's log has more", 500)
        finally:
            self._present -= 1

    async def _answer(self, request: Request) -> Response:
        wish = parse_wish(request.query_params.multi_items(), request.headers.get("accept"))
        self._labeller.check(wish)
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise UnknownFormat("expected the image itself as the body (curl --data-binary @photo.jpg), got a form")
        async with asyncio.timeout(self._limits.read_s):
            content = await read_body(request, max_bytes=self._limits.max_bytes)
        async with self._turn:
            if await request.is_disconnected():
                raise ClientDisconnect
            began = time.perf_counter()
            answer = await run_in_threadpool(self._look, content, wish)
        logger.info("%d bytes -> %s in %.2f s", len(content), wish.output, time.perf_counter() - began)
        return Response(answer, media_type=MEDIA_TYPES[wish.output], headers={"cache-control": "no-store"})

    def _look(self, content: bytes, wish: Wish) -> bytes:
        self._is_working = True
        try:
            return self._labeller.answer(content, wish)
        finally:
            self._is_working = False


async def _drain(request: Request) -> None:
    with suppress(TimeoutError, ClientDisconnect, asyncio.CancelledError, RuntimeError):  # the last: all was read
        async with asyncio.timeout(DRAIN_S):
            async for _ in request.stream():
                pass


def _tell(message: str, status: int) -> Response:
    return JSONResponse({"error": message}, status)


async def _tell_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing here; POST an image to /predict", 405: f"not for {request.method[:20]}; POST it"}
    return JSONResponse({"error": words.get(error.status_code, error.detail)}, error.status_code, headers=error.headers)


def build_app(server: PredictServer, *, token: str | None, hosts: frozenset[str]) -> Starlette:
    """Return the application that serves a network.

    Args:
        server: What answers.
        token: What clients must send; None if only this machine can reach the server.
        hosts: Without a token, names of the server as requests' `Host` gives them.
    """
    app = Starlette(
        routes=server.routes(),
        middleware=[Middleware(Gate, token=token, hosts=hosts)],
        exception_handlers={HTTPException: _tell_http},
    )
    app.router.redirect_slashes = False  # it would send a client to whatever `Host` says
    return app
