"""The page's server: pictures and masks to the browser, what a person says of them to the disk.

It holds nothing but caches: what was answered is on disk, and a server that is killed and started again goes on.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import webbrowser

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from weakseg.errors import DataError
from weakseg.pipeline.run_folder import learning_command
from weakseg.review.answers import Answers
from weakseg.review.desk import Desk
from weakseg.review.opening import Opened
from weakseg.review.ordering import Ordering
from weakseg.review.scribbles import NO_STROKE, StrokeSpreader
from weakseg.review.security import Guard, make_token

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8760

_GZIP_LEVEL = 2  # on loopback time counts more than bytes
_GZIP_BYTES = 1024
_LEAVE_S = 2  # for answers that are on their way when the server is stopped


def build_app(desk: Desk, *, token: str, hosts: frozenset[str], ordering: Ordering | None = None) -> Starlette:
    """Return the application that serves a desk.

    Args:
        desk: The images.
        token: What the page must send.
        hosts: Names of the server as requests' `Host` gives them.
        ordering: What finds the order of the images meanwhile, if it is not known.
    """
    middleware = [
        Middleware(Guard, token=token, hosts=hosts),
        Middleware(GZipMiddleware, minimum_size=_GZIP_BYTES, compresslevel=_GZIP_LEVEL),
    ]
    return Starlette(routes=Answers(desk, ordering).routes(), middleware=middleware)


def open_socket(port: int | None) -> socket.socket:
    """Listen on this machine alone.

    Args:
        port: Which port; None for `DEFAULT_PORT` or, where that is taken, any free one.

    Raises:
        DataError: If the port is taken.
    """
    try:
        return socket.create_server((LOOPBACK, DEFAULT_PORT if port is None else port))
    except OSError as error:
        if port is not None:
            raise DataError(
                f"--port: cannot listen on {port} ({error.strerror}); choose another, or leave --port out"
            ) from None
        return socket.create_server((LOOPBACK, 0))


def serve(opened: Opened, *, port: int | None = None, open_browser: bool = True) -> None:
    """Serve the page until it is interrupted; prints its address, and finds the order of the images meanwhile.

    Args:
        opened: The images.
        port: Which port, see `open_socket`.
        open_browser: Whether to open the address in the browser.

    Raises:
        DataError: If the port is taken.
    """
    desk, ordering = opened.desk, opened.ordering
    with open_socket(port) as listening:
        number = listening.getsockname()[1]
        token = make_token()
        hosts = frozenset({f"{LOOPBACK}:{number}", f"localhost:{number}"})
        address = f"http://{LOOPBACK}:{number}/#{token}"
        print(f"looking at {len(desk.listed)} images of {desk.folder.root}; stop with Ctrl-C\n  {address}", flush=True)
        print(f"  {learning_command(desk.folder.root)}  then learns from what you say there", flush=True)
        threading.Thread(target=warm_up, daemon=True).start()
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        app = build_app(desk, token=token, hosts=hosts, ordering=ordering)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_LEAVE_S,
        )
        if ordering is not None:
            ordering.start()
        try:
            with contextlib.suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listening])
        finally:
            if ordering is not None:
                ordering.stop()


def warm_up() -> None:
    """Compile, or load, the loops of the CRF, so that the first scribble need not wait for that."""
    image = np.zeros((8, 8, 3), np.uint8)
    labels, strokes = np.zeros((8, 8), np.uint8), np.full((8, 8), NO_STROKE, np.uint8)
    strokes[0, 0] = 1
    StrokeSpreader().spread("", image, labels, strokes)
