from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.photos import TINY, TINY_CRITTERS
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, ConfigError
from weakseg.files import partial_path
from weakseg.pipeline.artifacts import RunFolder, save_mask
from weakseg.pipeline.corrections.begin import begin_learning
from weakseg.pipeline.corrections.correction import Correction
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.corrections.taught import read_taught
from weakseg.pipeline.inputs import open_splits, prepare

SIZE_HW = (48, 48)
DRAWN, OWN = np.full(SIZE_HW, 1, np.uint8), np.full(SIZE_HW, 2, np.uint8)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    config = build_config(read_recipe("demo"), (*TINY_CRITTERS, *TINY))
    root = tmp_path_factory.mktemp("critters") / "data"
    return replace(config, data=replace(config.data, root=str(root)))


@pytest.fixture
def source(config: RunConfig, tmp_path: Path) -> RunFolder:
    """A run whose first image was drawn, whose second was called right, and whose third was called wrong."""
    source = RunFolder(tmp_path / "a")
    drawn, right, wrong = list_ids(config)[:3]
    save_mask(source.mask(right), OWN)
    store = CorrectionStore(source.corrections, open_train(config).classes)
    store.write(Correction(drawn, has_mask=True), DRAWN, expected_revision=0)
    store.write(Correction(right, "right"), expected_revision=0)
    store.write(Correction(wrong, "wrong"), expected_revision=0)
    return source


def open_train(config: RunConfig) -> Dataset:
    return open_splits(config.data, RunFolder(Path("unused")))[0]


def list_ids(config: RunConfig) -> list[str]:
    return [sample.id for sample in open_train(config)]


def test_what_teaches_is_copied_and_shown_again(config: RunConfig, source: RunFolder, tmp_path: Path) -> None:
    target = RunFolder(tmp_path / "b")
    assert begin_learning(config, source, target)
    drawn, right, wrong = list_ids(config)[:3]
    taught = read_taught(target)
    assert taught is not None
    assert taught.source == str(source.root)
    for sample_id, mask in ((drawn, DRAWN), (right, OWN)):
        found = taught.read_mask(sample_id)
        assert found is not None
        assert (found == mask).all()
        assert (read_mask(target.corrections / f"{sample_id}.png") == mask).all()
    assert taught.is_wrong(wrong)
    carried = {c.id: c for c in CorrectionStore(target.corrections, taught.classes)}
    assert (carried[right].has_mask, carried[right].verdict, carried[wrong].has_mask) == (True, "right", False)
    assert not (target.corrections / f"{drawn}.png").samefile(source.corrections / f"{drawn}.png")
    assert prepare(config, target).taught is not None


def test_a_word_of_an_image_that_has_left_the_data_stays_with_its_mask(
    config: RunConfig, source: RunFolder, tmp_path: Path
) -> None:
    store = CorrectionStore(source.corrections, open_train(config).classes)
    store.write(Correction("left", "right"), expected_revision=0)
    store.write(Correction("lost", "right"), expected_revision=0)
    save_mask(source.mask("left"), OWN)
    target = RunFolder(tmp_path / "b")
    begin_learning(config, source, target)
    carried = CorrectionStore(target.corrections, store.classes)
    found, mask = carried.read("left"), carried.read_mask("left")
    assert found is not None
    assert found.verdict == "right"
    assert mask is not None
    assert (mask == OWN).all()
    assert carried.read("lost") is None  # it would be said of the mask that the new run makes


def test_the_same_again_goes_on_and_other_corrections_are_refused(
    config: RunConfig, source: RunFolder, tmp_path: Path
) -> None:
    target = RunFolder(tmp_path / "b")
    begin_learning(config, source, target)
    before = target.taught_index.read_bytes()
    (target.corrections / "note.txt").write_text("mine")
    assert begin_learning(config, source, target)
    assert target.taught_index.read_bytes() == before
    assert (target.corrections / "note.txt").is_file()  # nothing is copied a second time
    store = CorrectionStore(source.corrections, open_train(config).classes)
    store.write(Correction(list_ids(config)[4], "wrong"), expected_revision=0)
    with pytest.raises(ArtifactError, match=r"b learns from other corrections than .*a has now; go on"):
        begin_learning(config, source, target)


def test_a_run_that_learns_nothing_new_says_so(
    config: RunConfig, source: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = RunFolder(tmp_path / "b"), RunFolder(tmp_path / "c")
    with caplog.at_level("INFO", logger="weakseg"):
        begin_learning(config, source, first)
        assert "the same" not in caplog.text
        begin_learning(config, first, second)
    assert f"{first.root} has learnt from the same: {second.root} comes out like it" in caplog.text


def test_an_interrupted_copy_is_made_again(config: RunConfig, source: RunFolder, tmp_path: Path) -> None:
    target = RunFolder(tmp_path / "b")
    begin_learning(config, source, target)
    target.taught_index.rename(partial_path(target.taught_index))
    save_mask(target.taught / "half.png", OWN)
    assert begin_learning(config, source, target)
    assert not (target.taught / "half.png").exists()


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("run.json", r"b is a run that learns from no corrections, .* choose another --out, such as .*b-2"),
        ("holiday.jpg", r"b holds holiday\.jpg, "),
        ("corrections/a.json", r"b holds corrections, "),
    ],
)
def test_a_folder_with_something_else_is_left_alone(
    config: RunConfig, source: RunFolder, tmp_path: Path, there: str, message: str
) -> None:
    path = tmp_path / "b" / there
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(ArtifactError, match=message):
        begin_learning(config, source, RunFolder(tmp_path / "b"))
    assert [p for p in (tmp_path / "b").rglob("*") if p.is_file()] == [path]


def test_a_file_is_no_folder(config: RunConfig, source: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("")
    with pytest.raises(ArtifactError, match="b is a file; choose another --out"):
        begin_learning(config, source, RunFolder(tmp_path / "b"))


def test_a_run_does_not_learn_in_its_own_folder(config: RunConfig, source: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a: a run cannot learn from its corrections in its own folder"):
        begin_learning(config, source, source)
    target = RunFolder(tmp_path / "b")
    begin_learning(config, source, target)
    assert not begin_learning(config, target, target)  # it has learnt them


def test_without_corrections_a_run_is_made_as_ever(config: RunConfig, tmp_path: Path) -> None:
    source, target = RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")
    assert not begin_learning(config, source, target)
    assert not begin_learning(config, source, source)
    assert not target.root.exists()
    store = CorrectionStore(source.corrections, open_train(config).classes)
    store.write(Correction(list_ids(config)[0]), expected_revision=0)  # all was taken back
    assert not begin_learning(config, source, target)
    store.write(Correction("gone", "wrong"), expected_revision=0)
    with pytest.raises(ArtifactError, match="teach nothing: none is of an image that is among the data"):
        begin_learning(config, source, target)
