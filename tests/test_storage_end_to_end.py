"""Data and runs that lie elsewhere, through the command line: the same files, in parts and on several machines."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.elsewhere import fsspec, put, read_below
from tests.photos import TINY, make_photos
from weakseg.api.photos import Photos
from weakseg.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

SETTINGS = (
    *TINY,
    "--data.val_fraction=0.3",
    "--classifier.epochs=1",
    "--segmenter.epochs=1",
    "--localize.method=cam",
    "--refine.method=none",
    "--refine.background_threshold=0.4",
)
RUN = "memory://bucket/runs/a"
COMPARED = (
    "seeds/",
    "masks/",
    "predictions/",
    "classifier/model",
    "segmenter/model",
    "metrics.json",
    "image_scores.csv",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("set") / "photos"
    make_photos(root, count=10)
    return root


@pytest.fixture(scope="module")
def here(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    run = tmp_path_factory.mktemp("here") / "a"
    assert main(["run", str(photos), *SETTINGS, "--out", str(run)]) == 0
    return compared(read_below(run))


def compared(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name.startswith(COMPARED)}


def there(url: str = RUN) -> dict[str, bytes]:
    fs, base = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return {path.removeprefix(f"{base}/"): fs.cat_file(path) for path in fs.find(base)}


def test_data_and_run_elsewhere_give_the_same_files_in_parts_and_on_several_machines(
    photos: Path,
    here: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    put(read_below(photos))
    assert len(Photos.open("memory://bucket/photos").tags) == 10

    def on_machine(name: str, *words: str) -> str:
        monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / name))
        code = main(list(words))
        said = capfd.readouterr().err
        assert code == 0, said
        return said

    said = on_machine("one", "run", "memory://bucket/photos", *SETTINGS, "--out", RUN, "--finish")
    assert f"'weakseg run {RUN} --part I/N' works on one of N parts of them" in said
    for _ in range(3):
        for part, machine in (("2/2", "two"), ("1/2", "three")):
            on_machine(machine, "run", RUN, "--part", part)
        said = on_machine("one", "run", "--finish", RUN)
    assert "report: done" in said
    assert compared(there()) == here
    assert all(stage["finished"] for stage in json.loads(there()["run.json"])["stages"].values())
    assert on_machine("four", "run", RUN).count("finished before") == 6
    on_machine("five", "export", RUN, "--to", "hf-dataset", "--out", "memory://bucket/exported")
    assert any(name.endswith(".png") for name in there("memory://bucket/exported"))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of an S3 server of this machine."""
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.filesystem("s3").mkdir(f"bucket-{port}")
    yield f"s3://bucket-{port}"
    type(fsspec.filesystem("s3")).clear_instance_cache()
    server.stop()


def test_a_bucket_of_s3_holds_data_and_run(
    photos: Path, here: dict[str, bytes], bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(read_below(photos), f"{bucket}/photos")
    run = f"{bucket}/runs/a"
    assert main(["classify", f"{bucket}/photos", *SETTINGS, "--out", run]) == 0
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "other machine"))
    assert main(["run", run, "--processes", "2"]) == 0
    assert compared(there(run)) == here


def test_what_s3_complains_of_is_said_in_a_line(bucket: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "s3://nobodys/photos"]) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "s3://nobodys/photos" in lines[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("run", RUN, "--engine", "ray"),
            f"weakseg: {RUN}: the nodes of a Ray cluster need a run in a folder that all",
        ),
        (("export", "a", "--to", "onnx", "--out", "memory://b/a.onnx"), "expected the URL of a folder"),
        (("run", "demo", "--data.root", "memory://b/a"), "weakseg: data.root: critters are drawn into a folder of"),
        (("run", "memory://b/nothing"), "weakseg: data.root: memory://b/nothing holds no files"),
    ],
)
def test_what_cannot_be_elsewhere_is_refused_in_a_line(
    words: tuple[str, ...],
    message: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    put({"recipe.yaml": b"data: {name: critters}"}, RUN)
    assert main(list(words)) in (1, 2)
    assert message in capfd.readouterr().err.splitlines()[-1]


def test_torchrun_needs_a_folder_that_all_its_processes_see(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["run", "demo", "--out", RUN]) == 2
    assert (
        capfd.readouterr().err
        == f"weakseg: {RUN}: the processes of torchrun need a run in a folder that all of them see\n"
    )
