"""A train and a val image whose seeds, masks and prediction are known, for the tests of the stage `evaluate`."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.tiny import DictMasks, make_segmenter, with_settings
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.files import write_json
from weakseg.pipeline.artifacts import RunFolder, save_mask, save_seed, save_tensors
from weakseg.pipeline.context import Context
from weakseg.pipeline.networks import save_network
from weakseg.pipeline.segmenters import describe_segmenter
from weakseg.scoring.evaluate import evaluate
from weakseg.scoring.metrics_file import load_metrics
from weakseg.scoring.scores import Metrics
from weakseg.train.loop import EpochRecord
from weakseg.types import ClassSet, Sample, ScoreMaps

CLASSES = ClassSet(("avo", "bex"))
CONFIG = with_settings(
    RunConfig(), ("evaluate.threshold_steps", 4), ("localize.splits", ("train", "val")), ("runtime.workers", 0)
)

TRAIN_TRUTH = np.array([[0, 1, 1, 255]], np.uint8)
TRAIN_SEED = [[0.2, 1.0, 0.6, 0.9]]  # perfect above 0.2 and below 0.6
TRAIN_MASK = np.array([[0, 1, 0, 1]], np.uint8)

VAL_TRUTH = np.array([[0, 0, 1, 1], [0, 2, 255, 1]], np.uint8)
VAL_PREDICTION = np.array([[0, 1, 1, 1], [0, 2, 2, 0]], np.uint8)


def sample(id: str, tags: tuple[int, ...]) -> Sample:
    return Sample(id, Path(f"/nowhere/{id}.png"), np.array(tags, np.uint8), np.ones(2, np.bool_))


def make_seed(values: list[list[float]], size_hw: tuple[int, int], keys: tuple[int, ...]) -> ScoreMaps:
    """A seed whose `full()` is exactly `values`: 16 x 16 maps are cropped and not resized."""
    maps = torch.zeros(len(keys), 16, 16)
    maps[:, : size_hw[0], : size_hw[1]] = torch.tensor(values)
    return ScoreMaps(keys, (maps,), size_hw)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A train image "t" and a val image "v" whose seeds, masks and prediction are known."""
    folder = RunFolder(tmp_path / "run")
    save_seed(folder.seed("t"), make_seed(TRAIN_SEED, (1, 4), (0,)))
    save_mask(folder.mask("t"), TRAIN_MASK)
    save_seed(folder.seed("v"), make_seed([[0.0, 0, 1, 1], [0, 0, 0, 1]], (2, 4), (0,)))
    save_mask(folder.mask("v"), VAL_TRUTH % 255)
    save_mask(folder.prediction("v"), VAL_PREDICTION)
    segmenter = make_segmenter(num_labels=3)
    info = describe_segmenter(segmenter, "critter", CLASSES, weights_from="random")
    save_network(folder.network("segmenter"), segmenter, info, ())
    save_tensors(folder.network("classifier").model, {}, {"weights_from": "random"})
    record = EpochRecord(1, 0.5, 0.1, {"map": 0.8125})
    write_json(folder.network("classifier").history, [record.to_json()])
    train = Dataset("folder", "train", CLASSES, (sample("t", (1, 0)),), DictMasks({"t": TRAIN_TRUTH}))
    val = Dataset("folder", "val", CLASSES, (sample("v", (1, 1)),), DictMasks({"v": VAL_TRUTH}))
    return Context(CONFIG, folder, torch.device("cpu"), train, val, {})


def metrics_of(context: Context) -> Metrics:
    evaluate(context)
    return load_metrics(context.folder.metrics)


def rows_of(context: Context) -> list[dict[str, str]]:
    return list(csv.DictReader(context.folder.image_scores.read_text(encoding="utf-8").splitlines()))


def with_truth(context: Context, masks: Mapping[str, NDArray[np.uint8]] | None) -> Context:
    reader = None if masks is None else DictMasks(masks)
    return replace(
        context, train=replace(context.train, mask_reader=reader), val=replace(context.val, mask_reader=reader)
    )
