"""`weakseg predict` by several processes, and in parts: the files are those of one process."""

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
import torch.distributed as dist

from tests.pipeline.test_processes import forked
from tests.predict.made_model import list_files, make_model, write_photo
from weakseg.cli import main
from weakseg.errors import ArtifactError
from weakseg.pipeline.engines import choose_engine
from weakseg.pipeline.image_jobs import Engine
from weakseg.pipeline.parts import PartDone, PartOf, StoppedAtImages
from weakseg.pipeline.processes import Processes
from weakseg.predict.files import NOTEBOOK, predict_files
from weakseg.predict.options import PredictOptions

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")]

assert forked, "a fixture"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights without a recipe, and photographs, one of them damaged."""
    root = tmp_path_factory.mktemp("predict")
    shutil.copy(make_model(root / "run").network("segmenter").model, root / "model.safetensors")
    for number, size_hw in enumerate([(22, 40), (31, 27), (22, 40), (31, 27), (22, 40), (9, 13)]):
        write_photo(root / "photos" / "parts" / f"{number}.png", number, size_hw)
    (root / "photos" / "bad.jpg").write_text("no image")
    return root


def predict(root: Path, out: Path, engine: Engine | None = None, **options: object) -> dict[str, bytes]:
    chosen = PredictOptions(**options)  # type: ignore[arg-type]
    predict_files(root / "model.safetensors", [root / "photos"], out, device="cpu", options=chosen, engine=engine)
    return {name: (out / name).read_bytes() for name in list_files(out)}


@pytest.fixture(scope="module", params=[1, 2])
def batch(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def of_one(root: Path, batch: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    files = predict(root, tmp_path_factory.mktemp("one"), batch=batch)
    assert len(files) == 3 * 6 + 1
    return files


def part(text: str) -> PartOf:
    engine = choose_engine(part=text)
    assert isinstance(engine, PartOf)
    return engine


@pytest.mark.usefixtures("forked")
def test_processes_make_the_files_of_one(root: Path, batch: int, of_one: dict[str, bytes], tmp_path: Path) -> None:
    assert predict(root, tmp_path / "out", Processes(2), batch=batch) == of_one


def test_parts_make_the_files_of_one_and_those_that_are_missing_are_named(
    root: Path, batch: int, of_one: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def finish() -> dict[str, bytes]:
        return predict(root, out, choose_engine(finish=True), batch=batch)

    with pytest.raises(
        ArtifactError, match=r"^--part 1/3: no images are handed out in .*; the same command with --fin"
    ):
        predict(root, out, part("1/3"), batch=batch)
    units = 7 if batch == 1 else 5
    with pytest.raises(StoppedAtImages, match=rf"^predict: {units} images are to be worked on \(predicting\)$"):
        finish()
    for text in ("3/3", "1/3", "3/3"):
        with pytest.raises(PartDone, match=f"^predict: part {text} is done"):
            predict(root, out, part(text), batch=batch)
    with pytest.raises(ArtifactError) as raised:
        finish()
    assert "of 3 parts, those that have not ended: 2; start these again, or the same command" in str(raised.value)
    with pytest.raises(ArtifactError, match=r"holds work that was begun with other batch; go on with the words"):
        predict(root, out, part("2/3"), batch=7)
    with pytest.raises(PartDone):
        predict(root, out, part("2/3"), batch=batch)
    assert finish() == of_one
    assert not (out / NOTEBOOK).exists()


def test_what_parts_have_not_made_is_made_by_the_command_without_them(
    root: Path, tmp_path: Path, told: list[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(StoppedAtImages):
        predict(root, out, choose_engine(finish=True))
    with pytest.raises(PartDone):
        predict(root, out, part("1/2"))
    whole = predict(root, out, skip_existing=True)
    assert "3 of 7 images are done already" in told
    assert whole == predict(root, tmp_path / "whole")
    with pytest.raises(StoppedAtImages, match=r"^predict: 1 images are"):  # what cannot be read is tried again
        predict(root, out, choose_engine(finish=True), skip_existing=True)


def be_rank(number: int, port: int, root: Path, out: Path) -> None:
    told = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    told |= {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
    os.environ.update({name: str(value) for name, value in told.items()})
    predict(root, out)


def test_two_processes_of_torchrun_make_the_files_of_one(root: Path, tmp_path: Path) -> None:
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    start = multiprocessing.get_context("fork")
    ranks = [start.Process(target=be_rank, args=(n, store.port, root, tmp_path / "out")) for n in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in ranks] == [0, 0]
    whole = predict(root, tmp_path / "whole")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in list_files(tmp_path / "out")} == whole


def test_the_words_of_the_command_choose_who_works(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "predict",
        str(root / "model.safetensors"),
        str(root / "photos"),
        "--out",
        str(tmp_path),
        "--device",
        "cpu",
    ]
    assert main([*words, "--finish"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[-2] == "predict: 7 images are to be worked on (predicting)"
    assert told[-1].startswith("  the same command with --part I/N in the place of --finish works on one of N parts")
    assert main([*words, "--part", "1/1"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "predict: part 1/1 is done, 7 images (predicting)"
    assert main([*words, "--finish"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert main([*words, "--finish", "--part", "1/2"]) == 2
