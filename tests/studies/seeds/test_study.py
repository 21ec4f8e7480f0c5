"""The study of seeds on runs whose seeds were painted from the truth, so that every score is known."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.photos import make_photos
from tests.tiny import with_settings
from weakseg.config.load import build_config, to_yaml
from weakseg.config.schema import RunConfig
from weakseg.data.masks import read_mask
from weakseg.data.synthetic import CritterSettings, write_critters
from weakseg.data.voc import open_voc
from weakseg.errors import ArtifactError, ConfigError, DataError, UsageError
from weakseg.files import write_text
from weakseg.pipeline.artifacts import RunFolder, save_mask, save_seed
from weakseg.pipeline.comparison import choose_compared
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.records import StageRecord, digest_parts, write_records
from weakseg.studies.folder import Study, StudyFolder, StudyRequest
from weakseg.studies.seeds import counts
from weakseg.studies.seeds.figure import draw_seeds
from weakseg.studies.seeds.study import study_seeds
from weakseg.types import Sample, ScoreMaps

pytestmark = pytest.mark.slow

SIZE_PX = 48
CONFIGS: dict[str, RunConfig] = {}
Paint = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]
"""Makes scores 0..1 of an image, which count for each pixel's own class, of its labels and parts."""


def paint_truth(labels: NDArray[np.uint8], parts: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (labels > 0).astype(np.float32)


def paint_heads(labels: NDArray[np.uint8], parts: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (parts == 1).astype(np.float32)


def paint_faint_bodies(labels: NDArray[np.uint8], parts: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Everything is found at a low threshold, heads alone at a higher one."""
    return np.select([parts == 1, parts == 2], [1.0, 0.4], 0.0).astype(np.float32)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, and parse a recipe that many runs share only once: both take longer than all counting."""

    def build_once(recipe: dict[str, object]) -> RunConfig:
        text = json.dumps(recipe)
        if text not in CONFIGS:
            CONFIGS[text] = build_config(recipe)
        return CONFIGS[text]

    monkeypatch.setattr("weakseg.pipeline.recipe.build_config", build_once)
    monkeypatch.setattr("weakseg.studies.seeds.study.draw_seeds", lambda figure, table, layout, traces: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_critters(root, CritterSettings(size_px=SIZE_PX), images=6, val_images=5, seed=1)
    return root


def make_config(data: Path) -> RunConfig:
    return with_settings(
        RunConfig(),
        ("data.root", str(data)),
        ("data.critters.images", 6),
        ("data.critters.val_images", 5),
        ("data.critters.size_px", SIZE_PX),
        ("data.critters.seed", 1),
        ("localize.splits", ("train", "val")),
    )


def make_run(root: Path, data: Path, paint: Paint, *, config: RunConfig | None = None) -> Path:
    """Write a recipe, records of finished stages, and seeds, masks and predictions of val."""
    folder = RunFolder(root)
    write_text(folder.recipe, to_yaml(config or make_config(data)))
    for sample in open_voc(data, split="val"):
        labels, parts = read_maps(data, sample)
        save_seed(folder.seed(sample.id), make_seed(sample, paint(labels, parts), labels))
        save_mask(folder.mask(sample.id), np.where(paint(labels, parts) > 0.5, labels, 0).astype(np.uint8))
        save_mask(folder.prediction(sample.id), np.zeros_like(labels))
    stages = ("localize", "refine", "evaluate")
    records = {name: StageRecord(True, digest_parts({name: root.name}), {}) for name in stages}
    write_records(folder, records)
    return root


def read_maps(data: Path, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return tuple(read_mask(data / folder / f"{sample.id}.png") for folder in ("SegmentationClass", "SegmentationParts"))


def make_seed(sample: Sample, scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> ScoreMaps:
    maps = np.zeros((len(sample.keys), *labels.shape), np.float32)
    for place, key in enumerate(sample.keys):
        maps[place] = np.where(labels == key + 1, scores, 0)
    return ScoreMaps(sample.keys, (torch.from_numpy(maps),), labels.shape)


def make_study(runs: Sequence[Path], *, redo: bool = False, name: str | None = None, **options: object) -> Study:
    request = StudyRequest(runs[0], name=name, redo=redo, command="weakseg study seeds")
    return study_seeds(runs, request, **options)


def rows_of(study: Study) -> list[dict[str, object]]:
    return study.table.to_records()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    paints = {"whole": paint_truth, "heads": paint_heads, "faint": paint_faint_bodies}
    return {name: make_run(root / name, data, paint) for name, paint in paints.items()}


def test_seeds_that_are_the_truth_score_full_marks(runs: dict[str, Path]) -> None:
    (row,) = rows_of(make_study([runs["whole"]], name="alone"))
    ones = ("mean_iou", "iou", "precision", "recall", "boundary_iou", "recall_head", "recall_body")
    assert [row[name] for name in ones] == [1] * len(ones)
    assert [row[name] for name in ("over", "over_other", "under")] == [0] * 3
    assert (row["run"], row["threshold_choice"]) == ("whole", "oracle")


def test_heads_alone_are_precise_and_miss_every_body(runs: dict[str, Path], data: Path) -> None:
    study = make_study([runs["whole"], runs["heads"]], name="heads", labels=("all", "heads"))
    _, row, *_ = rows_of(study)
    assert (row["run"], row["precision"], row["over"]) == ("heads", 1, 0)
    assert (row["recall_head"], row["recall_body"], row["found_head"]) == (1, 0, 1)
    both = [read_maps(data, sample) for sample in open_voc(data, split="val")]
    heads_px = sum(int(((parts == 1) & (labels > 0)).sum()) for labels, parts in both)
    animals_px = sum(int(((labels > 0) & (labels < 255)).sum()) for labels, _ in both)
    assert row["recall"] == pytest.approx(heads_px / animals_px, abs=1e-6)
    assert row["iou"] == pytest.approx(1 - float(str(row["under"])), abs=2e-6)


def test_at_equal_coverage_a_better_threshold_is_no_advantage(runs: dict[str, Path]) -> None:
    study = make_study([runs["heads"], runs["faint"]], name="equal")
    rows = rows_of(study)
    assert [(row["run"], row["threshold_choice"]) for row in rows] == [
        ("heads", "oracle"),
        ("faint", "oracle"),
        ("heads", "equal coverage"),
        ("faint", "equal coverage"),
    ]
    best, equal = rows[1], rows[3]
    assert best["recall_body"] == 1
    assert float(str(equal["threshold"])) > float(str(best["threshold"]))
    assert equal["coverage"] == rows[0]["coverage"]
    assert [equal[name] for name in ("iou", "recall_head", "recall_body")] == [rows[0]["iou"], 1, 0]
    assert rows[2] == {**rows[0], "threshold_choice": "equal coverage"}


def test_every_class_has_its_row_and_an_absent_one_no_score(runs: dict[str, Path], data: Path) -> None:
    study = make_study([runs["heads"]], name="classes", size_edges=())
    with study.folder.details.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["background", "avo", "bex", "cim", "dor", "eku", "fip"]
    found = np.concatenate([np.unique(read_maps(data, sample)[0]) for sample in open_voc(data, split="val")])
    absent = [row for label, row in enumerate(rows) if label not in found]
    assert absent, "choose another seed: every class occurs"
    assert all((row["truth_px"], row["objects"], row["iou"], row["recall"]) == ("0", "0", "", "") for row in absent)
    shown = [row for row in rows[1:] if row not in absent]
    assert all(row["iou"] == row["iou_size_0_100"] for row in shown)
    record = json.loads(study.folder.record.read_text())
    assert len(record["numbers"]["details"]) == 7


def test_the_study_says_what_it_was_made_with(runs: dict[str, Path]) -> None:
    study = make_study([runs["whole"], runs["heads"]], name="record", size_edges=(0.1,))
    assert study.table.title == "Seeds of 2 runs on val, 5 images, tags given"
    assert all(path.exists() for path in (*study.folder.outputs, study.folder.details))
    record = json.loads(study.folder.record.read_text())
    assert record["settings"]["sizes"] == [0.1]
    assert sorted(record["recipe"]) == sorted(str(runs[name]) for name in ("whole", "heads"))
    assert {"weakseg", "torch", "numpy", "python"} <= set(record["versions"])
    assert "iou_size_0_10" in record["numbers"]["rows"][0]


@pytest.mark.parametrize(("subject", "tags"), [("masks", "tags given"), ("predictions", "no tags")])
def test_label_maps_are_taken_as_they_are(runs: dict[str, Path], subject: str, tags: str) -> None:
    study = make_study([runs["whole"], runs["heads"]], subject=subject)
    assert study.folder.root == runs["whole"] / "studies" / f"seeds-{subject}"
    rows = rows_of(study)
    assert [(row["threshold_choice"], row["threshold"]) for row in rows] == [("as written", None)] * 2
    assert study.table.title.endswith(tags)
    expected = [(1.0, 1.0), (1.0, 0.0)] if subject == "masks" else [(0.0, 0.0), (0.0, 0.0)]
    assert [(row["recall_head"], row["recall_body"]) for row in rows] == expected
    precision = [row["precision"] for row in rows]
    assert precision == ([1.0, 1.0] if subject == "masks" else [None, None])


def test_the_same_command_gives_the_same_bytes(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.studies.seeds.study.draw_seeds", draw_seeds)
    pair = [runs["whole"], runs["faint"]]
    first, second = (make_study(pair, name=name).folder for name in ("once", "twice"))
    for one, other in zip((*first.outputs, first.details), (*second.outputs, second.details), strict=True):
        if one.is_file():
            assert one.read_bytes() == other.read_bytes(), one.name


def test_what_was_counted_is_not_counted_again_and_runs_may_be_added(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make_study([runs["heads"], runs["faint"]], name="grows").folder.csv.read_bytes()

    def fail(path: Path) -> None:
        raise AssertionError(f"read {path} again")

    with monkeypatch.context() as patched:
        patched.setattr(counts.ThresholdSweep, "update", fail)
        patched.setattr(counts.ConfusionMatrix, "update", fail)
        assert make_study([runs["heads"], runs["faint"]], name="grows").folder.csv.read_bytes() == before
    more = make_study([runs["heads"], runs["faint"], runs["whole"]], name="grows")
    assert len(more.table.rows) == 6
    assert more.folder.csv.read_bytes().startswith(before[: before.index(b"heads,equal")])


def test_an_interrupted_study_goes_on_and_ends_the_same(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pair = [runs["heads"], runs["faint"]]
    whole = make_study(pair, name="uninterrupted").folder
    write, done = counts.write_json, []

    def write_until_killed(path: Path, value: object) -> None:
        if len(done) == 3:  # both sweeps and the first row
            raise KeyboardInterrupt
        done.append(path)
        write(path, value)

    with monkeypatch.context() as patched:
        patched.setattr(counts, "write_json", write_until_killed)
        with pytest.raises(KeyboardInterrupt):
            make_study(pair, name="killed")
    killed = StudyFolder(runs["heads"] / "studies" / "killed")
    assert json.loads(killed.record.read_text())["finished"] is False
    kept = {path: path.stat().st_mtime_ns for path in done}
    make_study(pair, name="killed")
    assert {path: path.stat().st_mtime_ns for path in done} == kept
    assert killed.csv.read_bytes() == whole.csv.read_bytes()
    assert killed.details.read_bytes() == whole.details.read_bytes()


def test_another_setting_is_refused_until_redo_is_given(runs: dict[str, Path]) -> None:
    make_study([runs["heads"]], name="changed")
    with pytest.raises(ConfigError, match=r"boundary was 0\.02, is 0\.05; add --redo"):
        make_study([runs["heads"]], name="changed", boundary_share=0.05)
    (row,) = rows_of(make_study([runs["heads"]], name="changed", boundary_share=0.05, redo=True))
    assert row["run"] == "heads"


def test_a_changed_truth_is_noticed(tmp_path: Path) -> None:
    write_critters(tmp_path / "data", CritterSettings(size_px=SIZE_PX), images=6, val_images=5, seed=1)
    run = make_run(tmp_path / "run", tmp_path / "data", paint_heads)
    make_study([run])
    path = next((tmp_path / "data" / "SegmentationClass").glob("val_*.png"))
    labels = read_mask(path)
    labels[0] = 255
    save_mask(path, labels)
    with pytest.raises(ConfigError, match="images and tags with truth of val changed; add --redo"):
        make_study([run])


def test_data_without_parts_have_no_columns_of_parts(tmp_path: Path, data: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets", "classes.txt"):
        (plain / name).symlink_to(data / name)
    config = with_settings(make_config(plain), ("data.name", "voc"))
    table = make_study([make_run(tmp_path / "run", data, paint_heads, config=config)]).table
    assert not [column.name for column in table.columns if "head" in column.name or "body" in column.name]
    assert table.column("precision") == (1.0,)


def test_critters_opened_as_voc_keep_their_parts(tmp_path: Path, data: Path) -> None:
    config = with_settings(make_config(data), ("data.name", "voc"))
    table = make_study([make_run(tmp_path / "run", data, paint_heads, config=config)]).table
    assert table.column("recall_head") == (1.0,)


def test_adaptations_of_a_run_without_validation_split_are_those_of_train(tmp_path: Path, data: Path) -> None:
    config = with_settings(make_config(data), ("data.val", None), ("localize.compared_images", 2))
    with pytest.raises(UsageError, match="--split val: the adaptations are of 'train', the last split"):
        make_study([make_run(tmp_path / "run", data, paint_truth, config=config)], subject="adaptations", split="val")


def test_adaptations_are_compared_within_one_run(tmp_path: Path, data: Path) -> None:
    config = with_settings(make_config(data), ("localize.compared_images", 3), ("localize.rib.iterations", 3))
    run = make_run(tmp_path / "run", data, paint_truth, config=config)
    context = prepare(config, RunFolder(run))
    assert context.val is not None
    compared = choose_compared(config.localize, [context.val])
    assert compared is not None
    for sample in compared:
        labels, parts = read_maps(data, sample)
        for number, paint in ((0, paint_heads), (2, paint_faint_bodies), (3, paint_truth)):
            path = context.folder.adaptation(number, sample.id)
            save_seed(path, make_seed(sample, paint(labels, parts), labels))
    table = make_study([run], subject="adaptations").table
    assert table.title == "Seeds during RIB on val, 3 images, tags given"
    assert table.column("run")[:3] == ("CAM", "RIB, k = 2", "RIB, k = 3")
    assert table.column("recall_body")[:3] == (0.0, 1.0, 1.0)
    with pytest.raises(UsageError, match="--split train: the adaptations are of 'val'"):
        make_study([run], subject="adaptations", split="train")


def test_runs_of_other_data_are_refused(tmp_path: Path, data: Path, runs: dict[str, Path]) -> None:
    write_critters(tmp_path / "other", CritterSettings(size_px=SIZE_PX), images=6, val_images=5, seed=2)
    config = with_settings(make_config(tmp_path / "other"), ("data.critters.seed", 2))
    other = make_run(tmp_path / "run", tmp_path / "other", paint_truth, config=config)
    with pytest.raises(ConfigError, match="the images, tags or classes of their split 'val' differ"):
        make_study([runs["whole"], other], name="refused")
    assert not (runs["whole"] / "studies" / "refused").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subject": "labels"}, "--what: expected one of seeds, masks, predictions, adaptations, got 'labels'"),
        ({"split": "test"}, "--split: expected one of train, val, got 'test'"),
        ({"subject": "adaptations"}, "--what adaptations: expected one run, whose iterations are compared, got 2"),
        ({"subject": "predictions", "split": "train"}, "--split train: predictions are made of the validation split"),
        ({"labels": ("one",)}, "--labels: expected one per run, which are 2, got 1"),
        ({"labels": ("one", "one")}, "two runs are called 'one'; give each a name of its own with --labels"),
        ({"size_edges": (0.2, 0.1)}, r"--sizes: expected shares of the image, ascending between 0 and 1, got \[0.2"),
        ({"boundary_share": 0.0}, "--boundary: expected a share of the image's diagonal between 0 and 1, got 0.0"),
        ({"name": "a/b"}, "--name: expected the plain name of a folder"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    runs: dict[str, Path], options: dict[str, object], message: str
) -> None:
    before = sorted((runs["whole"] / "studies").glob("*"))
    with pytest.raises(UsageError, match=message):
        make_study([runs["whole"], runs["heads"]], **{"name": "wrong", **options})
    assert sorted((runs["whole"] / "studies").glob("*")) == before


def test_a_run_that_lacks_what_is_compared_is_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is no run folder: expected a recipe\.yaml in it"):
        make_study([tmp_path / "nowhere"])
    run = make_run(tmp_path / "run", data, paint_truth)
    with pytest.raises(ArtifactError, match="lacks the seeds of 6 of 6 images of train"):
        make_study([run], split="train")
    with pytest.raises(ArtifactError, match=r"has kept no adaptations; set localize\.compared_images"):
        make_study([run], subject="adaptations")
    next(RunFolder(run).seeds.iterdir()).unlink()
    with pytest.raises(ArtifactError, match="lacks the seeds of 1 of 5 images of val"):
        make_study([run])
    write_records(RunFolder(run), {})
    with pytest.raises(ArtifactError, match="lacks the finished stage 'localize'; run 'weakseg localize"):
        make_study([run])
    only_train = with_settings(make_config(data), ("localize.splits", ("train",)))
    other = make_run(tmp_path / "other", data, paint_truth, config=only_train)
    with pytest.raises(ArtifactError, match=r"has no seeds of val: localize\.splits is \['train'\]"):
        make_study([other])


def test_a_damaged_result_is_named(tmp_path: Path, data: Path) -> None:
    run = make_run(tmp_path / "run", data, paint_truth)
    folder = make_study([run]).folder
    (path,) = folder.results.rglob("at_*.json")
    path.write_text("{}")
    with pytest.raises(ArtifactError, match=r"at_.*\.json is damaged \('confusion'\); delete it"):
        make_study([run])
    path.write_text("[")
    with pytest.raises(ArtifactError, match="is damaged"):
        make_study([run])


def test_data_without_truth_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    make_photos(tmp_path / "photos", count=6)
    config = with_settings(
        RunConfig(),
        ("data.name", "folder"),
        ("data.root", str(tmp_path / "photos")),
        ("data.val", None),
        ("runtime.workers", 0),
    )
    folder = RunFolder(tmp_path / "run")
    write_text(folder.recipe, to_yaml(config))
    for sample in prepare(config, folder).train:
        save_seed(folder.seed(sample.id), ScoreMaps(sample.keys, (torch.zeros(len(sample.keys), 4, 6),), (8, 12)))
    write_records(folder, {"localize": StageRecord(True, "f", {})})
    with pytest.raises(DataError, match="folder train: no image has a truth mask that can be used"):
        make_study([folder.root], split="train")
    with pytest.raises(ArtifactError, match=r"has no validation split \(data\.val\); use --split train"):
        make_study([folder.root])
