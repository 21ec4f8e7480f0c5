"""`weakseg serve` as it is typed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import uvicorn

from tests.predict.made_model import make_model, write_photo
from tests.serve.made_server import make_labeller
from weakseg.arguments.verbs import SHOW_PARSER, ParserShown
from weakseg.cli import main
from weakseg.commands.serve import run
from weakseg.errors import DataError
from weakseg.models.tiling import Tiling
from weakseg.review import extra
from weakseg.serve import connections
from weakseg.serve.app import DEFAULT_MAX_MB, DEFAULT_MAX_MEGAPIXELS, DEFAULT_WAITING, Limits, PredictServer, build_app
from weakseg.serve.gate import is_loopback
from weakseg.serve.listening import DEFAULT_PORT, LOOPBACK, open_socket

ROOT = Path(__file__).parents[2]

SLOW = """
import sys, time
from weakseg.cli import main
from weakseg.serve import answers, listening
answer, listening.STOP_S = answers.Labeller.answer, 1
answers.Labeller.answer = lambda *words: time.sleep(600) if words[1] == b"slow" else answer(*words)
sys.exit(main(sys.argv[1:]))
"""
"""The command, in which one image takes ten minutes."""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM to send there")
def test_a_process_answers_and_ends_well_when_it_is_told_to(tmp_path: Path) -> None:
    model = make_model(tmp_path / "run").root
    photo = write_photo(tmp_path / "photo.png")
    out = tmp_path / "out"
    assert main(["predict", str(model), str(photo), "--out", str(out), "--device", "cpu", "--outputs", "mask"]) == 0
    words = ["serve", str(model), "--host", "0.0.0.0", "--port", "0", "--device", "cpu"]
    environment = {name: value for name, value in os.environ.items() if name != "WEAKSEG_TOKEN"}
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    found = re.search(r"(http://127\.0\.0\.1:\d+/)#(\S+)", lines[1])
    assert found is not None, lines
    address, token = found.groups()
    assert "cat, dog, fox" in lines[0]
    assert f"Bearer {token}" in lines[2]
    assert "it was made for this start" in lines[3]
    assert "unencrypted" in lines[4]
    headers = {"Authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(f"{address}predict", photo.read_bytes(), headers)) as answer:
        assert answer.read() == (out / "photo.png").read_bytes()
    names: dict[str, object] = {"address": address, "headers": headers}
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- tested: serve -->\n```python\n(.*?)```", page, re.DOTALL)
    exec(block.replace('"photo.jpg"', repr(str(photo))), names)
    areas = names["areas"]
    assert isinstance(areas, dict)
    assert sum(areas.values()) == 22 * 40
    threading.Thread(target=stop_when_busy, args=(address, headers, process)).start()
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(urllib.request.Request(f"{address}predict", b"slow", headers))
    output, errors = process.communicate(timeout=60)  # although an image is looked at for ten minutes
    assert (process.returncode, output) == (0, "stopped\n")
    lines = errors.splitlines()
    assert [line.split(" in ")[0] for line in lines[:2]] == [
        f"{photo.stat().st_size} bytes -> {output}" for output in ("mask", "json")
    ]
    assert lines[-1] == "an image was given up, since the server stops"
    assert not any("Traceback" in line for line in lines)


def stop_when_busy(address: str, headers: dict[str, str], process: subprocess.Popen[str]) -> None:
    """Stop the server once it looks at an image."""
    request = urllib.request.Request(f"{address}health", headers=headers)
    while not json.load(urllib.request.urlopen(request))["images"]:
        time.sleep(0.02)
    time.sleep(0.2)  # for the image to come to its turn
    process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--port", "70000"], 2, "--port: expected 0 (any) to 65535, got 70000"),
        (["--max-mb", "0"], 2, "--max-mb: expected more than 0, got 0"),
        (["--max-megapixels", "-2"], 2, "--max-megapixels: expected more than 0, got -2"),
        (["--waiting", "-1"], 2, "--waiting: expected 0 or more images, got -1"),
        (["--max-side-px", "-1"], 2, "--max-side-px: expected pixels, or 0 for no limit, got -1"),
        (["--token", "short"], 2, "--token: expected 16 or more plain characters, got 5"),
        (["--token", "spaces-at-the-end "], 2, "--token: expected letters, digits and signs of ASCII without spaces"),
        (["--token", "\u00e4" * 20], 2, "--token: expected letters, digits and signs of ASCII without spaces"),
        (["--tile-px", "100"], 1, "tile_px: expected a multiple of 32 above 0, got 100"),
        ([], 1, "gone is no model"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "gone", *words]) == code
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert message in told[0]


def test_what_help_calls_defaults_are_those_of_the_server() -> None:
    with pytest.raises(ParserShown) as shown:
        run([SHOW_PARSER])
    defaults = shown.value.parser.get_defaults()
    assert (defaults.host, defaults.port, defaults.waiting) == (LOOPBACK, DEFAULT_PORT, DEFAULT_WAITING)
    assert (defaults.max_mb, defaults.max_megapixels) == (DEFAULT_MAX_MB, DEFAULT_MAX_MEGAPIXELS)
    assert (defaults.tile_px, defaults.overlap_px) == (Tiling().tile_px, None)


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extra, "SERVER_PACKAGES", {"no_such_module": "no-such"})
    assert main(["serve", "gone"]) == 1
    assert "the server needs no-such, not installed here: pip install 'weakseg[review]'" in capsys.readouterr().err


def test_a_port_that_is_taken_and_a_foreign_address_are_told() -> None:
    with open_socket("127.0.0.1", 0) as taken, pytest.raises(DataError, match="choose another --host or --port"):
        open_socket("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(DataError, match=r"cannot listen on 203\.0\.113\.7"):
        open_socket("203.0.113.7", 0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.7", False), ("masks.example", False), ("", False)],
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.slow
def test_who_asks_nothing_is_sent_away_and_who_sends_too_much_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    app = build_app(PredictServer(make_labeller(tmp_path / "run"), Limits()), token=None, hosts=frozenset({"here"}))
    with open_socket("127.0.0.1", 0) as listening:
        place = listening.getsockname()
        config = uvicorn.Config(app, http=connections.Connection, lifespan="off", log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        with socket.create_connection(place, 20) as idle, socket.create_connection(place, 20) as slow:
            slow.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n")
            assert (idle.recv(1), slow.recv(1)) == (b"", b"")
        headers = {"Host": "here"}
        for _ in range(2):  # over a connection that is closed after it, as urllib has it
            request = urllib.request.Request(f"http://127.0.0.1:{place[1]}/predict", bytes(30_000_000), headers)
            with pytest.raises(urllib.error.HTTPError, match="413"):
                urllib.request.urlopen(request, timeout=20)
        server.should_exit = True
        thread.join(20)
