import re
from pathlib import Path

import numpy as np
import pytest

from weakseg.cli import main
from weakseg.config.load import to_yaml
from weakseg.config.schema import DataConfig, RunConfig
from weakseg.data.synthetic import CritterSettings, write_critters
from weakseg.errors import ArtifactError, DataError, MissingExtra
from weakseg.pipeline.artifacts import RunFolder, save_mask
from weakseg.pipeline.lock import LOCK_NAME, hold_folder
from weakseg.review import extra
from weakseg.review.opening import open_desk


@pytest.fixture
def run(tmp_path: Path) -> Path:
    data, run = tmp_path / "data", tmp_path / "run"
    write_critters(data, CritterSettings(size_px=48), images=3, val_images=2, seed=0)
    run.mkdir()
    config = RunConfig(data=DataConfig(name="voc", root=str(data), train="train", val="val"))
    RunFolder(run).recipe.write_text(to_yaml(config))
    return run


def add_masks(run: Path, *ids: str) -> None:
    for sample_id in ids:
        save_mask(RunFolder(run).mask(sample_id), np.zeros((48, 48), np.uint8))


def first_image(run: Path) -> str:
    listed = next((run.parent / "data").rglob("train.txt")).read_text().split()
    return listed[0]


def test_only_images_with_a_mask_are_looked_at(run: Path) -> None:
    with pytest.raises(ArtifactError, match="has no masks to look at; make them with 'weakseg refine"):
        open_desk(run)
    add_masks(run, first_image(run))
    assert list(open_desk(run, is_sorted=False).desk.listed) == [first_image(run)]
    assert list(open_desk(run, part="train", is_sorted=False).desk.listed) == [first_image(run)]
    with pytest.raises(ArtifactError, match="has no masks of images of 'val' in"):
        open_desk(run, part="val", is_sorted=False)
    assert not (run / LOCK_NAME).exists()


def test_masks_of_other_images_are_none(run: Path) -> None:
    add_masks(run, "another")
    with pytest.raises(ArtifactError, match="has no masks of images of 'all' in"):
        open_desk(run)


def test_images_that_have_moved_are_named(run: Path) -> None:
    add_masks(run, first_image(run))
    (run.parent / "data").rename(run.parent / "elsewhere")
    with pytest.raises(DataError, match=r"images of .*run cannot be opened .*correct data\.root in .*recipe\.yaml"):
        open_desk(run)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is no run folder"):
        open_desk(tmp_path)


def test_a_run_that_is_at_work_is_left_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_masks(run, first_image(run))
    with hold_folder(run):
        monkeypatch.setattr("weakseg.pipeline.lock._held", {})  # as another process sees it
        with pytest.raises(ArtifactError, match="is in use by process"):
            open_desk(run)
        monkeypatch.undo()


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    extra.require_extra()
    monkeypatch.setattr(extra, "PACKAGES", {"starlette": "starlette", "no_such_module": "no-such"})
    with pytest.raises(
        MissingExtra, match=r"the page needs no-such, not installed here: pip install 'weakseg\[review\]'"
    ):
        extra.require_extra()


def test_the_page_loads_nothing_from_elsewhere() -> None:
    static = Path(extra.__file__).parent / "static"
    page = (static / "index.html").read_text(encoding="utf-8")
    assert "http" not in page  # nothing from elsewhere
    for file in static.glob("*.js"):
        assert "http://" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--port", "65536"), 2, "--port: expected 0 (any) to 65535, got 65536"),
        (("--split", "test"), 2, "--split: expected one of train, val, all, got 'test'"),
        ((), 1, "has no masks to look at"),
    ],
)
def test_a_mistake_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, told: str
) -> None:
    assert main(["review", str(run), *words]) == code
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_missing_extra_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra, "PACKAGES", {"no_such_module": "no-such"})
    assert main(["review", str(run)]) == 1
    assert capsys.readouterr().err.endswith("pip install 'weakseg[review]'\n")


def test_the_address_is_printed_with_a_token(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_masks(run, first_image(run))
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("weakseg.review.server.warm_up", lambda: None)
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)
    tokens = set()
    for _ in range(2):
        assert main(["review", str(run), "--unsorted", "--port", "0", "--no-browser"]) == 0
        first, second, third = capsys.readouterr().out.splitlines()
        assert first == f"looking at 1 images of {run}; stop with Ctrl-C"
        found = re.fullmatch(r"  http://127\.0\.0\.1:\d+/#([\w-]{32})", second)
        assert found is not None
        assert third == f"  weakseg run {run} --out {run}-2  then learns from what you say there"
        tokens.add(found[1])
    assert len(tokens) == 2
    assert opened == []
