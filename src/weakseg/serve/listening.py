"""Listening at an address until the process is told to stop."""

from __future__ import annotations

import contextlib
import shlex
import socket

import uvicorn

from weakseg.errors import DataError
from weakseg.review.security import make_token
from weakseg.serve.answers import Labeller
from weakseg.serve.app import Limits, PredictServer, build_app
from weakseg.serve.connections import Connection
from weakseg.serve.gate import is_loopback, local_names

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8770

STOP_S = 8
"""Images that are here when the server is told to stop have so long to be answered; `docker stop` kills after 10."""

_BACKLOG = 128
_KEEP_ALIVE_S = 15


def open_socket(host: str, port: int) -> socket.socket:
    """Listen.

    Raises:
        DataError: If the name is nobody's or another's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise DataError(
            f"cannot listen on {host}, port {port} ({error.strerror or error}); choose another --host or --port"
        ) from None


def serve(labeller: Labeller, *, host: str, port: int, token: str | None, limits: Limits) -> bool:
    """Serve a network until the process is told to stop; prints how to ask.

    Args:
        labeller: The network.
        host: Where to listen.
        port: Which port; 0 for any free one.
        token: What clients must send. None: nothing where only this machine can reach the server, else a random one,
            which is printed.
        limits: What may be asked.

    Returns:
        Whether all work has ended; an image that took longer than `STOP_S` is still being looked at.

    Raises:
        DataError: If that address cannot be had.
    """
    with open_socket(host, port) as listening:
        number = listening.getsockname()[1]
        is_made = token is None and not is_loopback(host)
        token = make_token() if is_made else token
        _tell_address(labeller, host=host, port=number, token=token, is_made=is_made)
        name = f"[{host}]" if ":" in host else host
        server = PredictServer(labeller, limits)
        app = build_app(server, token=token, hosts=local_names(number, also=[name]))
        config = uvicorn.Config(
            app,
            http=Connection,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S,
        )
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    print("stopped", flush=True)
    return not server.is_working()


def _tell_address(labeller: Labeller, *, host: str, port: int, token: str | None, is_made: bool) -> None:
    opened = labeller.opened
    names = ", ".join(opened.classes.names)
    shown = LOOPBACK if host == "0.0.0.0" else "[::1]" if host == "::" else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/"
    key = f"{token}" if is_made else "TOKEN"
    header = "" if token is None else f"-H {shlex.quote(f'Authorization: Bearer {key}')} "
    print(f"masks by {opened.path} ({names[:200]}); stop with Ctrl-C\n  {address}{f'#{token}' if is_made else ''}")
    print(f"  curl {header}--data-binary @photo.jpg {address}predict --output mask.png", flush=True)
    if token is None:
        return
    made = "it was made for this start; --token or WEAKSEG_TOKEN sets one" if is_made else "the one that you have set"
    print(f"whoever asks must send the token: {made}", flush=True)
    if not is_loopback(host):
        print("other machines can reach this address, unencrypted: put a proxy with TLS before it", flush=True)
