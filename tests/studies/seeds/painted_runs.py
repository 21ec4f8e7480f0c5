"""Runs whose seeds were painted from the truth, so that every score is known, and the study of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.tiny import with_settings
from weakseg.config.load import build_config, to_yaml
from weakseg.config.schema import RunConfig
from weakseg.data.masks import read_mask
from weakseg.data.synthetic import CritterSettings, write_critters
from weakseg.data.voc import open_voc
from weakseg.files import write_text
from weakseg.pipeline.artifacts import RunFolder, save_mask, save_seed
from weakseg.pipeline.records import StageRecord, digest_parts, write_records
from weakseg.studies.folder import Study, StudyRequest
from weakseg.studies.seeds.study import study_seeds
from weakseg.types import Sample, ScoreMaps

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
