from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny import SIZE_HW, make_classifier, make_dataset, with_settings
from weakseg.config.schema import AugmentConfig, RunConfig
from weakseg.errors import ArtifactError
from weakseg.localize.cam import score_maps
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.localizers import open_localizer
from weakseg.studies.rib.passes import Adapted, Pass, run_pass

CONFIG = with_settings(
    RunConfig(),
    ("localize.method", "rib"),
    ("localize.scales", (1.0, 0.5)),
    ("localize.rib.iterations", 3),
    ("localize.rib.learning_rate", 1e-4),
    ("localize.rib.area_ratio", 1.0),  # no image is stopped early
    ("localize.rib.partners", 2),
    ("localize.rib.partner_augment", AugmentConfig(long_side_px=(28, 40), crop_px=32)),
    ("runtime.workers", 0),
)


def make_context(root: Path) -> Context:
    train = make_dataset(root / "images")
    return Context(CONFIG, RunFolder(root / "run"), torch.device("cpu"), train, None, {"train": "t"})


def test_a_pass_with_steps_keeps_the_maps_after_every_iteration(tmp_path: Path) -> None:
    context, classifier = make_context(tmp_path), make_classifier()
    chosen = context.train.keep(["train_3"])
    one = Pass(tmp_path / "rib", CONFIG, keeps_steps=True)
    run_pass(context, classifier, context.train, chosen, one, label="")
    with open_localizer(context, classifier) as localizer:
        sample = chosen.samples[0]
        expected = localizer(sample, context.train.load_image(sample), 3)  # its place in the split
    adapted = one.load("train_3")
    assert (adapted.iterations, adapted.stopped_by) == (3, "completed")
    assert len(adapted.trace_times_s) == 3
    assert 0 < adapted.trace_times_s[0] < adapted.trace_times_s[2] <= adapted.time_s
    for iterations, maps in enumerate(expected.trace, start=1):
        kept = load_seed(one.seed(iterations, "train_3"))
        assert kept.size_hw == maps.size_hw
        assert all(torch.equal(a, b) for a, b in zip(kept.scales, maps.scales, strict=True))
    assert not one.seed(0, "train_3").exists()


def test_a_pass_without_steps_keeps_the_last_maps_alone(tmp_path: Path) -> None:
    context, classifier = make_context(tmp_path), make_classifier()
    chosen = context.train.keep(["train_0"])
    run_pass(context, classifier, context.train, chosen, Pass(tmp_path / "all", CONFIG, keeps_steps=True), label="")
    run_pass(context, classifier, context.train, chosen, Pass(tmp_path / "last", CONFIG), label="")
    assert sorted(path.name for path in (tmp_path / "last").iterdir()) == ["3", "train_0.json"]
    name = Path("3") / "train_0.npz"
    assert (tmp_path / "last" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


def test_a_pass_of_cam_keeps_its_maps_after_no_iteration(tmp_path: Path) -> None:
    context, classifier = make_context(tmp_path), make_classifier()
    one = Pass(tmp_path / "cam", with_settings(CONFIG, ("localize.method", "cam")))
    run_pass(context, classifier, context.train, context.train.keep(["train_0"]), one, label="")
    sample = context.train.samples[0]
    expected = score_maps(classifier, context.train.load_image(sample), sample.tags, scales=(1.0, 0.5))
    kept = load_seed(one.seed(0, "train_0"))
    assert all(torch.equal(a, b) for a, b in zip(kept.scales, expected.scales, strict=True))
    adapted = one.load("train_0")
    assert (adapted.iterations, adapted.stopped_by, adapted.trace_times_s) == (0, None, ())


def test_an_adaptation_that_diverges_at_once_keeps_empty_maps(tmp_path: Path, told: list[str]) -> None:
    context, classifier = make_context(tmp_path), make_classifier()
    with torch.no_grad():
        classifier.classifier.weight.fill_(torch.inf)
    one = Pass(tmp_path / "rib", CONFIG, keeps_steps=True)
    run_pass(context, classifier, context.train, context.train.keep(["train_0"]), one, label="")
    adapted = one.load("train_0")
    assert (adapted.iterations, adapted.stopped_by) == (0, "diverged")
    assert not any(scale.any() for scale in load_seed(one.seed(0, "train_0")).scales)
    assert any("diverged after 0 of 3" in line for line in told)


def test_a_done_image_is_not_done_again(tmp_path: Path) -> None:
    context, classifier = make_context(tmp_path), make_classifier()
    one = Pass(tmp_path / "rib", CONFIG)
    run_pass(context, classifier, context.train, context.train.keep(["train_0"]), one, label="")
    before = one.record("train_0").read_bytes()
    run_pass(context, classifier, context.train, context.train.keep(["train_0", "train_1"]), one, label="")
    assert one.record("train_0").read_bytes() == before
    assert one.load("train_1").iterations == 3


def test_maps_live_at_the_size_of_the_image_and_not_of_what_the_network_saw(tmp_path: Path) -> None:
    context, classifier = make_context(tmp_path), make_classifier()
    whole, small = (
        Pass(tmp_path / "whole", CONFIG),
        Pass(tmp_path / "small", with_settings(CONFIG, ("data.max_side_px", 17))),
    )
    for one in (whole, small):
        run_pass(context, classifier, context.train, context.train.keep(["train_0"]), one, label="")
    large, limited = load_seed(whole.seed(3, "train_0")), load_seed(small.seed(3, "train_0"))
    assert large.size_hw == limited.size_hw == SIZE_HW
    assert limited.scales[0].numel() < large.scales[0].numel()


@pytest.mark.parametrize("content", [None, "", "{}", '{"iterations": 3, "trace_times_s": []}'])
def test_a_missing_or_damaged_record_is_named(tmp_path: Path, content: str | None) -> None:
    one = Pass(tmp_path, CONFIG)
    if content is not None:
        one.record("a").write_text(content)
    with pytest.raises(ArtifactError, match=r"a\.json is missing or damaged .* delete it and start the study again"):
        one.load("a")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = Pass(tmp_path, CONFIG)
    one.record("a").write_text('{"iterations": 2, "stopped_by": "area", "time_s": 1.5, "trace_times_s": [0.5, 1.0]}')
    assert one.load("a") == Adapted(2, "area", 1.5, (0.5, 1.0))
