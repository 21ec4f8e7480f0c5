"""Made-up runs for the tests of the report: tiny images, and files written by the functions that stages use."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from weakseg.config.schema import LocalizeConfig, RefineConfig, ReportConfig, RunConfig
from weakseg.data.base import Dataset
from weakseg.files import write_json
from weakseg.ops.instances import Instances
from weakseg.ops.metrics import ConfusionMatrix, ThresholdSweep
from weakseg.pipeline.artifacts import RunFolder, save_mask, save_seed, save_tensors
from weakseg.pipeline.context import Context
from weakseg.refine.instance_files import save_instances
from weakseg.refine.irn import IRNConfig
from weakseg.refine.masks import seed_to_mask
from weakseg.scoring.from_counts import make_curve, score_confusion, score_sweep
from weakseg.scoring.image_scores import IMAGE_COLUMNS
from weakseg.scoring.metrics_file import load_metrics, save_metrics
from weakseg.scoring.scores import ClassifierScore, Curve, InstanceScore, Metrics, Score
from weakseg.types import ClassSet, Sample, ScoreMaps

HEIGHT, WIDTH = 30, 44
FIXED_THRESHOLD = 0.25


@dataclass(frozen=True)
class DictMasks:
    """Truth masks held in memory, by image id."""

    masks: Mapping[str, NDArray[np.uint8]]

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8] | None:
        return self.masks.get(sample.id)


def draw_truth(key: int | None, seed: int) -> NDArray[np.uint8]:
    """A block of class `key` on background, with a void corner; its size depends on `seed`."""
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    if key is not None:
        truth[4 : 12 + seed, 6 : 20 + 2 * seed] = key + 1
    truth[-2:, -3:] = 255
    return truth


def make_dataset(
    root: Path, split: str, tags: Sequence[int | None], classes: ClassSet, *, truth: Callable[[str], bool]
) -> Dataset:
    """Images `<split>_0`, ... of noise with one tag or none each; masks where `truth` says so."""
    rng = np.random.default_rng(0)
    samples, masks = [], {}
    for index, key in enumerate(tags):
        id = f"{split}_{index}"
        path = root / f"{id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)).save(path)
        encoded = np.zeros(len(classes), np.uint8)
        if key is not None:
            encoded[key] = 1
        samples.append(Sample(id, path, encoded, np.ones(len(classes), bool)))
        if truth(id):
            masks[id] = draw_truth(key, index)
    return Dataset("folder", split, classes, tuple(samples), DictMasks(masks) if masks else None)


def make_seed(sample: Sample, key: int | None) -> ScoreMaps:
    """A map of 1 around the class, 0.25 in a wide ring around that."""
    maps = torch.zeros(0 if key is None else 1, HEIGHT, WIDTH)
    maps[:, 1:18, 2:26] = 0.25
    maps[:, 4:14, 6:22] = 1.0
    return ScoreMaps(sample.keys, (maps,), (HEIGHT, WIDTH))


def make_run(
    root: Path,
    *,
    classes: Sequence[str] = ("avo", "bex", "cim"),
    train_tags: Sequence[int | None] = (0, 1, None),
    val_tags: Sequence[int | None] | None = (1, 0, 1),
    truth: Callable[[str], bool] = lambda id: True,
    report: ReportConfig | None = None,
) -> Context:
    """Write the files of a finished evaluation and return what the report stage gets."""
    class_set = ClassSet(tuple(classes))
    train = make_dataset(root / "data", "train", train_tags, class_set, truth=truth)
    val = None if val_tags is None else make_dataset(root / "data", "val", val_tags, class_set, truth=truth)
    config = RunConfig(
        localize=LocalizeConfig(splits=("train", "val")),
        refine=RefineConfig(background_threshold=FIXED_THRESHOLD),
        report=report or ReportConfig(title="a run"),
    )
    context = Context(config, RunFolder(root / "run"), torch.device("cpu"), train, val, {})
    for dataset in (train, *((val,) if val else ())):
        for sample in dataset:
            seed = make_seed(sample, sample.keys[0] if sample.keys else None)
            save_seed(context.folder.seed(sample.id), seed)
            mask = seed_to_mask(seed.full().numpy(), seed.keys, background_threshold=FIXED_THRESHOLD)
            save_mask(context.folder.mask(sample.id), mask)
    for index, sample in enumerate(val or ()):
        # The more it is shifted, the worse the prediction: the last image is the worst.
        key = sample.keys[0] if sample.keys else None
        save_mask(context.folder.prediction(sample.id), np.roll(draw_truth(key, index), 5 * index, axis=1))
    write_networks(context.folder, has_val=val is not None)
    write_scores(context)
    return context


def add_instances(context: Context) -> Context:
    """Add what IRN leaves: confident labels of the training images, instances, and made-up scores of those."""
    for sample in context.train:
        save_mask(context.folder.label(sample.id), draw_truth(sample.keys[0] if sample.keys else None, 0))
    for sample in (*context.train, *(context.val or ())):
        masks = np.zeros((len(sample.keys), HEIGHT, WIDTH), np.bool_)
        masks[:, 4:14, 6:22] = True
        found = Instances(masks, np.array(sample.keys, np.int64), np.ones(len(masks), np.float32))
        save_instances(context.folder.instance(sample.id), found)
    scores = tuple(
        InstanceScore(
            split=split,
            images=3,
            given_tags=True,
            threshold_choice="fixed",
            threshold=0.25,
            mean_ap50=0.5,
            mean_ap75=0.25,
            mean_ap=0.3,
            ap50=(0.75, 0.25, None),
            ap75=(0.5, 0.0, None),
            ap=(0.6, 0.0, None),
            support=(1, 1234, 0),
        )
        for split in ("train", "val")
    )
    save_metrics(context.folder.metrics, replace(load_metrics(context.folder.metrics), instances=scores))
    refine = RefineConfig(method="irn", background_threshold=FIXED_THRESHOLD, irn=IRNConfig(instances=True))
    return replace(context, config=replace(context.config, refine=refine))


def write_networks(folder: RunFolder, *, has_val: bool) -> None:
    for kind in ("classifier", "segmenter"):
        metrics = {"map": 0.9} if has_val and kind == "classifier" else {}
        records = [
            {"epoch": epoch, "loss": 1.0 / epoch, "learning_rate": 0.1 / epoch, "metrics": metrics} for epoch in (1, 2)
        ]
        write_json(folder.network(kind).history, records)
        save_tensors(folder.network(kind).model, {}, {"weights_from": "random"})


def write_scores(context: Context) -> None:
    num_labels = context.train.classes.num_labels
    scores: list[Score] = []
    curves: list[Curve] = []
    rows: list[dict[str, str]] = []
    for dataset in (context.train, *((context.val,) if context.val else ())):
        sweep = ThresholdSweep(num_labels, np.arange(10) / 10)
        masks, predictions = ConfusionMatrix(num_labels), ConfusionMatrix(num_labels)
        for index, sample in enumerate(dataset):
            row = dict.fromkeys(IMAGE_COLUMNS, "") | {"id": sample.id, "split": dataset.split}
            truth = dataset.load_mask(sample)
            if truth is not None:
                key = sample.keys[0] if sample.keys else None
                seed = make_seed(sample, key)
                maps = seed.full().numpy()
                sweep.update(maps, seed.keys, truth)
                mask = seed_to_mask(maps, seed.keys, background_threshold=FIXED_THRESHOLD)
                masks.update(mask, truth)
                row["mask_iou"] = f"{0.5 + 0.1 * index:.4f}"
                if dataset is context.val:
                    predictions.update(np.roll(truth, 5 * index, axis=1), truth)
                    row["segmenter_iou"] = f"{0.9 - 0.2 * index:.4f}"
            rows.append(row)
        if masks.images:
            curves.append(make_curve(sweep.result(), split=dataset.split))
            scores.append(score_sweep(sweep.result(), split=dataset.split))
            scores.append(
                score_confusion(
                    masks.result(),
                    subject="masks",
                    split=dataset.split,
                    given_tags=True,
                    threshold_choice="fixed",
                    threshold=FIXED_THRESHOLD,
                )
            )
        if predictions.images:
            scores.append(
                score_confusion(
                    predictions.result(),
                    subject="segmenter",
                    split=dataset.split,
                    given_tags=False,
                    threshold_choice="none",
                    threshold=None,
                )
            )
    text = io.StringIO()
    writer = csv.DictWriter(text, IMAGE_COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    context.folder.image_scores.write_text(text.getvalue(), encoding="utf-8")
    has_val = context.val is not None
    metrics = Metrics(
        dataset="folder",
        label_names=context.train.classes.label_names,
        classifier=ClassifierScore(
            "val" if has_val else None, len(context.val or ()), 0.9 if has_val else None, "random"
        ),
        scores=tuple(scores),
        curves=tuple(curves),
        notes=() if scores else ("train: no truth masks, so seeds and masks are not scored",),
    )
    save_metrics(context.folder.metrics, metrics)
