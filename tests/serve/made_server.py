"""A server around a network that knows nothing, and clients of it."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from tests.predict.made_model import make_model
from weakseg.models.tiling import Tiling
from weakseg.predict.opened import open_model
from weakseg.serve.answers import Labeller
from weakseg.serve.app import Limits, PredictServer, build_app
from weakseg.serve.gate import local_names

PORT = 8770
ORIGIN = f"http://127.0.0.1:{PORT}"
TOKEN = "a-token-of-the-tests"
MAX_BYTES, MAX_PIXELS = 60_000, 2_000


def make_labeller(root: Path) -> Labeller:
    """Write a run and open it."""
    return Labeller(open_model(make_model(root).root, device="cpu"), Tiling(), MAX_PIXELS)


def open_client(labeller: Labeller, *, token: str | None = None, waiting: int = 2, read_s: float = 30) -> TestClient:
    """Return a client of this machine."""
    limits = Limits(max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS, waiting=waiting, read_s=read_s)
    app = build_app(PredictServer(labeller, limits), token=token, hosts=local_names(PORT))
    return TestClient(app, base_url=ORIGIN, raise_server_exceptions=False)
