import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.made_context import make_context
from tests.tiny import SIZE_HW, make_dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.correction import Correction
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.edited_masks import find_edited
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES
from weakseg.review import evidence
from weakseg.review.listing import describe_queue, open_queue, write_queue

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Context:
    root = tmp_path_factory.mktemp("review")
    train = make_dataset(root / "images")
    val = make_dataset(root / "images", ((0,), (2, 1), ()), split="val", sizes_hw=((20, 31), SIZE_HW, SIZE_HW))
    context = make_context(root / "run", (train, val))
    run_stages(context, STAGES)
    return context


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_queue_holds_every_image_and_is_measured_once(done: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = open_queue(done)
    ids = {sample.id for dataset in (done.train, done.val) for sample in dataset or ()}
    assert {image.id for image in queue.images} == ids
    scores = [image.score for image in queue.images]
    assert scores == sorted(scores, reverse=True)
    monkeypatch.setattr(evidence, "_measure", lambda *_: pytest.fail("measured again"))
    assert open_queue(done) == queue
    assert {image.split for image in open_queue(done, part="val").images} == {"val"}
    turns = open_queue(done, order="classes")
    assert (set(turns.images), turns.tags) == (set(queue.images), queue.tags)
    samples = {sample.id: sample for dataset in (done.train, done.val) for sample in dataset or ()}
    first = {key for image in turns.images[: len(done.train.classes)] for key in samples[image.id].keys}
    assert first == set(range(len(done.train.classes)))
    told = describe_queue(done.folder, turns, top=1, order="classes")
    assert told.startswith("images whose masks are most likely wrong, classes by turns: the first 1 of ")
    write_queue(done.folder, queue)
    rows = read(done.folder.queue)
    assert [row["id"] for row in rows] == [image.id for image in queue.images]
    assert rows[0]["place"] == "1"
    assert len(read(done.folder.doubtful_tags)) == len(queue.tags)
    text = describe_queue(done.folder, queue, top=2)
    assert text.startswith(f"images whose masks are most likely wrong: the first 2 of {len(ids)}\n")
    assert queue.images[0].id in text
    assert str(done.folder.queue) in text
    monkeypatch.undo()
    document = json.loads(done.folder.evidence.read_text())
    document["made_of"]["refine"] = "another"
    done.folder.evidence.write_text(json.dumps(document))
    assert open_queue(done) == queue  # measured anew, since it was of other masks


def test_corrected_images_stand_at_the_end(done: Context) -> None:
    first = open_queue(done).images[0].id
    store = CorrectionStore(done.folder.corrections, done.train.classes)
    store.write(Correction(first, verdict="right"), expected_revision=0)
    queue = open_queue(done)
    assert (queue.images[-1].id, queue.images[-1].corrected) == (first, True)
    told = describe_queue(done.folder, queue, top=1)
    assert "\n1 image with corrections stands at the end; 'weakseg run " in told
    assert f"weakseg review {done.folder.root} " in told
    told = describe_queue(done.folder, queue, top=1, is_learnt=True)
    assert told.endswith("\n1 image with corrections stands at the end; the run has learnt from that\n")
    store.remove(first, expected_revision=1)


def test_a_run_does_not_train_on_an_edited_mask_nor_remove_it(done: Context) -> None:
    sample_id = done.train.samples[0].id
    path = done.folder.mask(sample_id)
    before = path.read_bytes()
    edited = np.where(read_mask(path) == 1, np.uint8(2), np.uint8(1))
    save_mask(path, edited)
    assert find_edited(done.folder) == [sample_id]
    run_stages(done, STAGES)  # nothing to do, so nothing is refused
    for redo, what in (("segment", "training on the masks"), ("classify", "making the masks again")):
        with pytest.raises(ArtifactError, match=f"{what} stops here: 1 mask in .* --from .* keeps it as corrections"):
            run_stages(done, STAGES, redo=redo)
    assert done.folder.network("segmenter").model.is_file()
    store = CorrectionStore(done.folder.corrections, done.train.classes)
    store.write(Correction(sample_id, source="masks"), edited, expected_revision=0)
    with pytest.raises(ArtifactError, match=r"training on the masks stops here: .* among the corrections; "):
        run_stages(done, STAGES, redo="segment")
    assert done.folder.network("segmenter").model.is_file()
    np.testing.assert_array_equal(read_mask(path), edited)
    path.write_bytes(before)
    assert find_edited(done.folder) == []


def test_without_masks_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    train = make_dataset(tmp_path / "images")
    with pytest.raises((ArtifactError, ConfigError), match="has no masks to look at; 'weakseg run' makes them"):
        open_queue(make_context(tmp_path / "run", (train, None)))
