from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.tiny import make_dataset
from weakseg.config.load import build_config, read_recipe
from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.studies.methods import timing
from weakseg.studies.methods.timing import time_localizer, time_refiner
from weakseg.types import Sample

TAGS = ((), (0,), (1,), (), (2,), (0, 1))
"""The first three tagged ones are images 1, 2 and 4."""


def make_context(root: Path, *words: str, tags: Sequence[Sequence[int]] = TAGS) -> Context:
    config = build_config(read_recipe("methods_photographs"), words)
    train = make_dataset(root / "images", tags)
    return Context(config, RunFolder(root / "run"), torch.device("cpu"), train, None, {})


def let_images_take(monkeypatch: pytest.MonkeyPatch, seconds: Sequence[float]) -> Callable[[str], None]:
    """Return what stands for a piece of work; the n-th takes the n-th of these seconds by the clock."""
    now, left = [0.0], list(seconds)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def work(_: str) -> None:
        now[0] += left.pop(0)

    return work


def stand_in(monkeypatch: pytest.MonkeyPatch, seconds: Sequence[float]) -> list[str]:
    """Replace networks, seeds and methods by a clock; returns the ids of what was worked on."""
    done: list[str] = []
    take = let_images_take(monkeypatch, seconds)

    def work(sample: Sample, *_: object) -> None:
        done.append(sample.id)
        take(sample.id)

    @contextmanager
    def open_localizer(*_: object) -> Iterator[Callable[..., None]]:
        yield work

    monkeypatch.setattr(timing, "load_classifier", lambda *_: (None, None))
    monkeypatch.setattr(timing, "open_localizer", open_localizer)
    monkeypatch.setattr(timing, "open_refiner", lambda _: work)
    monkeypatch.setattr(timing, "pair_with_seed", lambda _, sample, image: sample)
    return done


def test_the_median_counts_and_the_first_image_is_done_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = stand_in(monkeypatch, [90.0, 3.0, 1.0, 2.0])
    context = make_context(tmp_path, "--localize.method=cam")
    assert time_localizer(context, split="train") == 2.0
    assert done == ["train_1", "train_1", "train_2", "train_4"]
    assert json.loads((context.folder.root / "time-localize.json").read_text()) == {"image_s": 2.0}


def test_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = stand_in(monkeypatch, [9.0, 0.12345, 0.12345, 0.12345])
    context = make_context(tmp_path)
    assert time_refiner(context, split="train", thresholds=(0.4,)) == 0.1235
    assert time_refiner(context, split="train", thresholds=(0.4,)) == 0.1235
    assert len(done) == 4


def test_a_method_that_adapts_to_an_image_is_timed_on_one_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = stand_in(monkeypatch, [40.0])
    assert time_localizer(make_context(tmp_path, "--localize.method=rib"), split="train") == 40.0
    assert done == ["train_1"]


def test_one_image_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = stand_in(monkeypatch, [5.0, 4.0])
    assert time_refiner(make_context(tmp_path, tags=((0,),)), split="train", thresholds=()) == 4.0
    assert done == ["train_0", "train_0"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    context.folder.root.mkdir()
    (context.folder.root / "time-refine.json").write_text('{"image_s": null}')
    with pytest.raises(ArtifactError, match=r"time-refine\.json is missing or damaged .* start the study again"):
        time_refiner(context, split="train", thresholds=())
