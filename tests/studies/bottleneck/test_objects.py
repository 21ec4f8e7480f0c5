"""The study of the bottleneck on a run: parts, gradients and table by hand, and the whole at a size of seconds."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tests.photos import TINY, TINY_CRITTERS, TINY_RIB
from tests.tiny import with_settings
from weakseg.chain import run_recipe
from weakseg.cli import main
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.errors import ArtifactError, ConfigError, DataError
from weakseg.localize.rib import RIBConfig
from weakseg.models.backbone import Backbone
from weakseg.models.classifier import Classifier
from weakseg.models.convolution_chain import ConvolutionChain
from weakseg.models.efficientnet_lite import build_efficientnet_lite
from weakseg.models.resnet import build_backbone
from weakseg.ops.images import normalise
from weakseg.studies.bottleneck.layer_gradients import (
    ImageGradients,
    LogitMaps,
    average_over_squares,
    find_layers,
    layer_maps,
    logit_maps,
)
from weakseg.studies.bottleneck.objects import ObjectSettings, study_objects
from weakseg.studies.bottleneck.objects_figure import draw_objects
from weakseg.studies.bottleneck.objects_table import Findings, make_details, make_table
from weakseg.studies.bottleneck.parts import ObjectParts, ObjectResult, measure_object, measure_parts, split_objects
from weakseg.studies.folder import Study, StudyFolder, StudyRequest

HEIGHT, WIDTH = 13, 22


def make_classifier(*, trunk_layers: int = 0) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    chain = ConvolutionChain(
        widths=(4, 4, 6), strides=(2, 1, 2), norm=False, trunk_layers=trunk_layers, generator=generator
    )
    return Classifier(chain, num_classes=3, freeze_trunk=trunk_layers > 0, generator=generator)


def make_image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def test_an_object_is_split_by_what_its_seed_shows() -> None:
    truth = np.array([[1, 1, 1, 0, 0], [1, 2, 255, 0, 0], [2, 2, 0, 0, 0]], np.uint8)
    seed = np.array([[1, 1, 0, 1, 0], [2, 2, 1, 0, 0], [2, 2, 0, 0, 0]], np.uint8)
    found = split_objects(truth, seed, (0, 1))
    assert [one.key for one in found] == [0], "of class 1 the seed shows all"
    discriminative, other, background = found[0].masks.int().tolist()
    assert discriminative == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert other == [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert background == [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [0, 0, 1, 1, 1]]
    assert split_objects(truth, seed, ()) == ()
    assert split_objects(truth, seed, (79,)) == ()
    assert split_objects(truth, seed, (0,), min_share=0.14) == (), "the other part takes 2 of 15"


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: make_classifier().backbone, ("layer 1", "layer 2", "layer 3")),
        (
            lambda: build_efficientnet_lite("efficientnet_lite0"),
            ("stem", *(f"group {number}" for number in range(1, 8)), "head"),
        ),
        (lambda: build_backbone("resnet18"), ("maxpool", "layer1", "layer2", "layer3", "layer4")),
    ],
)
def test_layers_are_the_parts_of_any_backbone(build: Callable[[], Backbone], expected: tuple[str, ...]) -> None:
    assert tuple(find_layers(build())) == expected


def test_squares_of_pixels_and_of_coarser_positions_have_the_same_averages() -> None:
    pixels = torch.tensor([[[1.0, 3.0, 5.0], [1.0, 3.0, 7.0], [4.0, 6.0, 9.0]]])
    expected = [[[2.0, 6.0], [5.0, 9.0]]]
    assert average_over_squares(pixels, (3, 3), side_px=2).tolist() == expected
    coarse = torch.tensor(expected)
    assert average_over_squares(coarse, (3, 3), side_px=2).tolist() == expected, "of stride 2 already"
    odd = torch.arange(12.0).reshape(1, 3, 4)
    assert average_over_squares(odd, (40, 40), side_px=16).shape == (1, 3, 3), "a layer of no such stride"


@pytest.mark.parametrize("trunk_layers", [0, 2])
def test_gradients_are_those_of_the_logit_and_of_every_layer(trunk_layers: int) -> None:
    classifier, image = make_classifier(trunk_layers=trunk_layers), make_image()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    maps = logit_maps(classifier, image, 2)
    pixels = normalise(image)[None].requires_grad_(True)
    features = classifier.backbone(pixels)
    scores = classifier.classifier(features)
    logit = scores.mean(dim=(2, 3))[0, 2]
    (expected,) = torch.autograd.grad(logit, pixels, retain_graph=True)
    assert maps.logit == pytest.approx(float(logit.detach()))
    assert torch.allclose(
        maps.image, average_over_squares(expected.norm(dim=1), (HEIGHT, WIDTH), side_px=4)[0], atol=1e-7
    )
    grid_hw = (4, 6)
    assert {name: tuple(one.shape) for name, one in maps.layers.items()} == dict.fromkeys(
        ("layer 1", "layer 2", "layer 3"), grid_hw
    )
    everywhere = float(classifier.classifier.weight[2].norm().detach()) / 24
    assert torch.allclose(maps.layers["layer 3"], torch.full(grid_hw, everywhere)), "an average's gradient"
    (expected,) = torch.autograd.grad(features.abs().sum(), pixels)
    layers = layer_maps(classifier, image)
    assert torch.allclose(
        layers["layer 3"], average_over_squares(expected.norm(dim=1), (HEIGHT, WIDTH), side_px=4)[0], rtol=1e-4
    )
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert classifier.training
    assert not any(layer._forward_hooks for layer in find_layers(classifier.backbone).values())


def test_parts_are_measured_by_hgr_and_by_strength() -> None:
    masks = torch.zeros(3, 3, 4, dtype=torch.bool)
    masks[0, :2, :2] = True  # one whole square
    masks[1, 0, 2:] = True
    masks[1, 2, 0] = True
    masks[2, 2, 1:] = True
    averages = np.array([[[4.0, 2.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]], np.float32)
    first, nothing = measure_parts(averages, masks, side_px=2, threshold=0.3)
    mean = (4 * 4 + 4 * 2 + 2 * 1) / 12
    assert first == pytest.approx([1.0, 2 / 3, 0.0, 4 / mean, 5 / 3 / mean, 1 / 3 / mean])
    assert nothing.tolist() == [0.0] * 6


def made_object(other: list[float], *, background: list[float] | None = None) -> ObjectResult:
    """An object whose other part has these shares in layer 1, layer 2 and then in every state of the logit."""
    shares = np.full((len(other), 6), 0.5)
    shares[:, 1] = other
    shares[:, 2] = background or [0.1] * len(other)
    states = shares[2:]
    return ObjectResult(
        name="cow",
        areas=np.array([0.2, 0.1, 0.6]),
        layers=shares[:2],
        logits=np.arange(3.0, 3.0 + len(states)),
        by_image=states,
        by_layer=np.stack([states, states], axis=1),
    )


def made_findings(*objects: ObjectResult) -> Findings:
    results = {f"image_{number}": (one,) for number, one in enumerate(objects)}
    rib = RIBConfig(iterations=3)
    return Findings("val", "cam", 0.25, 0.3, ("stem", "head"), {**results, "empty": ()}, rib)


def test_the_table_has_means_errors_and_how_often_the_other_part_rises() -> None:
    rising = made_object([0.9, 0.6, 0.2, 0.3, 0.6], background=[0.1, 0.1, 0.1, 0.2, 0.2])
    outdone = made_object([0.9, 0.2, 0.4, 0.5, 0.5], background=[0.1, 0.1, 0.1, 0.2, 0.3])
    sinking = made_object([0.9, 0.7, 0.3, 0.1, 0.1])
    table = make_table(made_findings(rising, outdone, sinking))
    rows = {row["gradient"]: row for row in table.to_records()}
    assert table.title == "HGR of object parts on val: 3 objects in 4 images, tags given, CAM at its oracle threshold"
    assert len(rows) == 2 + 3 + 2 + 2 * 2
    assert rows["head by image"]["other"] == pytest.approx(0.5)
    assert rows["head by image"]["other_se"] == pytest.approx(np.std([0.6, 0.2, 0.7], ddof=1) / math.sqrt(3), abs=1e-6)
    assert rows["logit by image, update 1"]["logit"] == 4.0
    change = rows["change of logit by RIB"]
    assert change["other"] == pytest.approx((0.4 + 0.1 - 0.2) / 3)
    assert (change["other_rises"], change["beats_background"]) == (0.666667, 0.333333)
    assert change["logit"] == 2.0
    assert rows["change from head to logit"]["other"] == pytest.approx((-0.4 + 0.2 - 0.4) / 3)
    assert rows["change of that by RIB, stem"]["other"] == change["other"]


def test_one_object_has_no_error_and_an_early_end_stands_for_what_follows() -> None:
    ended = made_object([0.9, 0.6, 0.2, 0.4])  # two states of three
    table = make_table(made_findings(ended))
    rows = {row["gradient"]: row for row in table.to_records()}
    assert set(table.column("other_se")) == {None}
    assert rows["logit by image, update 2"]["other"] == 0.4
    assert table.notes[-1] == "adaptations to 1 object ended early; later rows have their last state"
    details = make_details(made_findings(ended))
    assert len(details.rows) == 2 + 2 * (1 + 2)
    assert details.rows[2][:6] == ("image_0", "cow", "logit by image", None, 0, 0.5)


def test_an_objects_shares_come_from_its_own_tag() -> None:
    layers = {"layer 1": torch.eye(2)}

    def state(logit: float, value: torch.Tensor) -> LogitMaps:
        return LogitMaps(logit, value, {"layer 1": value})

    left, right = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    states = [[state(1.0, left), state(2.0, right)], [state(3.0, left), state(4.0, right)]]
    found = ImageGradients.of(layers, states, (3, 4))
    masks = torch.zeros(3, 3, 4, dtype=torch.bool)
    masks[0, :, :2], masks[1, :, 2:], masks[2, 0, 0] = True, True, True
    one = measure_object(found, 1, ObjectParts(5, masks), "cow", side_px=2, threshold=0.3)
    assert one.logits.tolist() == [2.0, 4.0]
    assert one.by_image[:, :2].tolist() == [[0.0, 1.0]] * 2
    assert one.by_layer.shape == (2, 1, 6)
    assert one.layers[0, :2] == pytest.approx([2 / 3, 1 / 3])


@pytest.fixture(scope="module")
def config() -> RunConfig:
    settings = ("--data.critters.images=24", "--classifier.epochs=8", "--localize.rib.logit_stop=1e9")
    return build_config(read_recipe("demo"), (*TINY_CRITTERS, *TINY, *TINY_RIB, *settings))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, config: RunConfig) -> Path:
    root = tmp_path_factory.mktemp("runs") / "tiny"
    run_recipe(with_settings(config, ("localize.method", "cam")), root, only="classify")
    return root


def make_study(
    config: RunConfig, run: Path, name: str, *, images: int = 3, parts: str = "cam", split: str = "train"
) -> Study:
    request = StudyRequest(run, name=name, may_train=False, command="weakseg study bottleneck RUN")
    return study_objects(config, ObjectSettings(images, split, parts), request)


@pytest.fixture(autouse=True)
def no_figure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "figure" not in request.function.__name__:
        monkeypatch.setattr("weakseg.studies.bottleneck.objects.draw_objects", lambda figure, found: None)


@pytest.fixture(autouse=True)
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best threshold of so poor a classifier leaves no object."""
    monkeypatch.setattr("weakseg.studies.bottleneck.objects._Cutter.find_cut", lambda cutter, steps: 0.3)


def contents(folder: StudyFolder) -> tuple[bytes, bytes]:
    return folder.csv.read_bytes(), folder.details.read_bytes()


@pytest.mark.slow
def test_a_runs_images_are_measured_once(config: RunConfig, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_study(config, run, "once").folder
    first = contents(folder)
    with folder.details.open() as file:
        rows = list(csv.DictReader(file))
    updates = {row["updates"] for row in rows if row["gradient"] == "logit by image"}
    assert updates == {str(update) for update in range(config.localize.rib.iterations)}
    assert len({row["logit"] for row in rows if row["gradient"] == "logit by image"}) >= len(updates)
    assert all(0 <= float(row[part]) <= 1 for row in rows for part in ("discriminative", "other", "background"))
    assert json.loads(folder.record.read_text())["finished"]
    assert "similarity" not in json.loads(folder.record.read_text())["settings"]

    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("nothing was left to adapt")

    with monkeypatch.context() as patched:
        patched.setattr("weakseg.localize.rib_loop.adapt", fail)
        make_study(config, run, "once")
        assert contents(folder) == first
        with pytest.raises(ArtifactError, match="seeds"):
            make_study(config, run, "once", parts="run")
    more = make_study(config, run, "once", images=5).table
    assert "in 5 images" in more.title
    damaged = next((folder.results / "gradients").rglob("*.npz"))
    damaged.write_bytes(b"no archive")
    with pytest.raises(ArtifactError, match=r"\.npz is missing or damaged .*; delete it"):
        make_study(config, run, "once", images=5)
    damaged.unlink()
    with pytest.raises(ConfigError, match=r"localize\.rib\.learning_rate was .*, is 0\.5"):
        make_study(with_settings(config, ("localize.rib.learning_rate", "0.5")), run, "once")


@pytest.mark.slow
def test_images_without_masks_are_named(config: RunConfig, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.studies.truth_images.read_truth", lambda *arguments: None)
    with pytest.raises(DataError, match="no tagged image has a truth mask that can be used"):
        make_study(config, run, "none")


@pytest.mark.slow
def test_the_figure_shows_images_and_curves(config: RunConfig, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Findings] = []
    monkeypatch.setattr("weakseg.studies.bottleneck.objects.draw_objects", lambda figure, found: seen.append(found))
    make_study(config, run, "once")
    figure = Figure(layout="constrained")
    draw_objects(figure, seen[0])
    titles = [axes.get_title() for axes in figure.get_axes()]
    assert titles[-3:] == ["(b) layer by image", "(c) logit by layer; dashed: after RIB", "(d) logit by image"]
    assert titles[:2] == ["image", "parts"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["demo"], 2, "study bottleneck: expected a run folder, got 'demo'; 'weakseg run' makes one"),
        (["demo", "--out", "x", "--images", "0"], 2, "--images: expected at least 1, got 0"),
        (["demo", "--out", "x", "--parts", "gt"], 2, "--parts: expected some of cam, run, got 'gt'"),
        (["demo", "--out", "x", "--split", "test"], 2, "--split: expected one of train, val, got 'test'"),
        (["demo", "--out", "x", "--threshold", "1"], 2, "--threshold: expected a number from 0 to below 1, got 1.0"),
        (["nowhere"], 1, "recipe 'nowhere': expected one of those above"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", "bottleneck", *words]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
