"""A run of tiny images to look at, and a client that knows the token."""

import base64
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient

from tests.made_run import HEIGHT, WIDTH, make_run
from weakseg.pipeline.context import Context
from weakseg.review.desk import Desk, Entry
from weakseg.review.server import build_app

TOKEN = "a-token"
HOST = "127.0.0.1:8760"
ORIGIN = f"http://{HOST}"
HEADERS = {"X-Weakseg-Token": TOKEN, "Origin": ORIGIN}
SIZE_HW = (HEIGHT, WIDTH)


def make_desk(tmp_path: Path, context: Context | None = None) -> Desk:
    """Five images of three classes; the first is doubted."""
    run = context or make_run(tmp_path)
    samples = [*run.train, *(run.val or ())]
    doubted = Entry(samples[0].id, "the seed and the mask differ", missing_tags=("cim",), doubtful_tags=("avo",))
    return Desk(run, [doubted, *(Entry(sample.id) for sample in samples[1:])])


def open_client(desk: Desk, *, headers: dict[str, str] = HEADERS) -> TestClient:
    app = build_app(desk, token=TOKEN, hosts=frozenset({HOST}))
    return TestClient(app, base_url=ORIGIN, headers=headers, raise_server_exceptions=False)


def packed(labels: NDArray[np.uint8]) -> str:
    return base64.b64encode(zlib.compress(labels.tobytes())).decode()


def unpacked(text: str, size_hw: tuple[int, int] = SIZE_HW) -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(size_hw)
