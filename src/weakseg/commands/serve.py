"""`weakseg serve`: masks of images that are sent over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments.verbs import new_parser, parse_words
from weakseg.endings import allow_grace
from weakseg.errors import UsageError

MAX_PORT = 65535

MIN_TOKEN_CHARACTERS = 16
"""A shorter token can be guessed."""

LEAVE_S = 1.5
"""After the last image has been answered or given up, the process has so long to end."""


def run(words: Sequence[str]) -> int:
    """Serve the model that the words after `serve` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser(
        "serve",
        "Answer images that are sent over HTTP with their masks. MODEL is a run folder, a bundle, the "
        "model.safetensors of a segmenter, or an ONNX file; docs/serve.md tells more.",
    )
    parser.add_argument("model", help="MODEL")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; beyond this machine a token is asked for")
    parser.add_argument("--port", type=int, default=8770, help="which port; 0 for any free one")
    parser.add_argument("--token", default=None, help="what clients must send; or WEAKSEG_TOKEN, or a random one")
    parser.add_argument("--max-mb", type=float, default=20.0, help="larger files are refused, in megabytes")
    parser.add_argument("--max-megapixels", type=float, default=50.0, help="images of more pixels are refused")
    parser.add_argument("--waiting", type=int, default=8, help="so many images may wait while one is looked at")
    parser.add_argument("--tile-px", type=int, default=1024, help="larger images are seen in tiles of this side")
    parser.add_argument(
        "--overlap-px", type=int, default=None, help="shared by neighbours; a quarter of a tile if not given"
    )
    parser.add_argument(
        "--max-side-px", type=int, default=None, help="shrink larger images; 0: never; else as the run did"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    given = parse_words(parser, words)
    if given is None:
        return 0
    token = given.token if given.token is not None else os.environ.get("WEAKSEG_TOKEN") or None
    _require_sound(given.port, given.max_mb, given.max_megapixels, given.waiting, given.max_side_px, token)
    from weakseg.review.extra import SERVER_PACKAGES, require_extra

    require_extra(SERVER_PACKAGES, who="the server")
    from dataclasses import replace

    from weakseg.data.images import MAX_PIXELS
    from weakseg.models.tiling import choose_tiling
    from weakseg.pipeline.telling import start_logging
    from weakseg.predict.opened import limit_views, open_model
    from weakseg.serve.answers import Labeller
    from weakseg.serve.app import MEGA, Limits
    from weakseg.serve.listening import STOP_S, serve

    start_logging()
    tiling = choose_tiling(given.tile_px, given.overlap_px)
    opened = open_model(Path(given.model), device=given.device)
    opened = replace(opened, views=limit_views(opened.views, given.max_side_px))
    max_pixels = min(MAX_PIXELS, int(given.max_megapixels * MEGA))
    limits = Limits(max_bytes=int(given.max_mb * MEGA), max_pixels=max_pixels, waiting=given.waiting)
    labeller = Labeller(opened, tiling, max_pixels)
    labeller.warm_up()
    allow_grace(STOP_S + LEAVE_S)
    if not serve(labeller, host=given.host, port=given.port, token=token, limits=limits):
        os._exit(0)  # Python would wait for the thread that looks at an image which nobody waits for
    return 0


def _require_sound(
    port: int, max_mb: float, max_megapixels: float, waiting: int, max_side_px: int | None, token: str | None
) -> None:
    if not 0 <= port <= MAX_PORT:
        raise UsageError(f"--port: expected 0 (any) to {MAX_PORT}, got {port}")
    for option, value in (("--max-mb", max_mb), ("--max-megapixels", max_megapixels)):
        if not 0 < value < float("inf"):
            raise UsageError(f"{option}: expected more than 0, got {value:g}")
    if waiting < 0:
        raise UsageError(f"--waiting: expected 0 or more images, got {waiting}")
    if max_side_px is not None and max_side_px < 0:
        raise UsageError(f"--max-side-px: expected pixels, or 0 for no limit, got {max_side_px}")
    if token is not None and len(token) < MIN_TOKEN_CHARACTERS:
        raise UsageError(f"--token: expected {MIN_TOKEN_CHARACTERS} or more plain characters, got {len(token)}")
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError("--token: expected letters, digits and signs of ASCII without spaces, got others among them")
