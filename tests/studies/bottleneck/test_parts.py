"""Gradients, training, adaptation and numbers of the study of the bottleneck, each by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.data.digits import print_digits
from weakseg.data.marked_digits import MARKED_DIGITS, MarkedDigits, make_marked_digits
from weakseg.errors import UsageError
from weakseg.localize.adaptation import Goal
from weakseg.localize.cam import flip_pair
from weakseg.models.classifier import Classifier
from weakseg.models.convolution_chain import ConvolutionChain
from weakseg.ops.images import normalise
from weakseg.studies.bottleneck.adaptation import FinalActivation, climb, watch_adaptation
from weakseg.studies.bottleneck.gradients import (
    Regions,
    layer_gradients,
    logit_gradients,
    normalise_grey,
    to_grey,
)
from weakseg.studies.bottleneck.seed import TwinResult, draw_partners
from weakseg.studies.bottleneck.settings import ACTIVATIONS, OBJECTIVES, BottleneckSettings
from weakseg.studies.bottleneck.table import MARKER, make_details, make_table
from weakseg.studies.bottleneck.training import measure_accuracy, one_hot, train_twin


@pytest.fixture(scope="module")
def scenes() -> MarkedDigits:
    return make_marked_digits(print_digits(MARKED_DIGITS), images=12, marked_share=1.0, rng=np.random.default_rng(0))


def make_classifier() -> Classifier:
    generator = torch.Generator().manual_seed(3)
    chain = ConvolutionChain(widths=(4, 4, 6), strides=(2, 1, 2), norm=False, generator=generator)
    classifier = Classifier(chain, num_classes=2, freeze_trunk=False, generator=generator)
    with torch.no_grad():
        classifier.classifier.weight.mul_(100)  # fresh logits lie near 0, where nothing shows
    return classifier


def batches(scenes: MarkedDigits, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    settings = BottleneckSettings(iterations=count - 1, partners=3)
    return draw_partners(scenes, 0, settings, seed=0, place=0)


def test_grey_images_are_normalised_as_rgb_ones_are(scenes: MarkedDigits) -> None:
    image = scenes.images[0]
    expected = normalise(np.repeat(image[:, :, None], 3, axis=2))
    assert torch.allclose(normalise_grey(to_grey(image[None]))[0], expected, atol=1e-6)


def test_the_gradient_of_a_logit_is_that_of_finite_differences(scenes: MarkedDigits) -> None:
    classifier = make_classifier().double()
    grey = to_grey(scenes.images[:1]).double() * 0.8 + 0.1
    maps, own = logit_gradients(classifier, grey, torch.tensor([1]))
    places = [(10, 20), (30, 31), (5, 50)]
    slopes = []
    for y, x in places:
        moved = grey.clone()
        moved[0, y, x] += 1e-6
        with torch.no_grad():
            slopes.append(abs(float(classifier(normalise_grey(moved))[0, 1] - own) / 1e-6))
    found = [float(maps[0, y, x]) for y, x in places]
    assert max(found) > 0
    assert np.allclose(np.array(found) / max(found), np.array(slopes) / max(slopes), rtol=1e-3, atol=1e-4)


def test_there_is_a_map_for_every_layer_and_one_for_the_logit(scenes: MarkedDigits) -> None:
    classifier, grey, classes = make_classifier(), to_grey(scenes.images), torch.from_numpy(scenes.classes)
    maps = layer_gradients(classifier, grey, classes)
    assert [tuple(found.shape) for found in maps] == [(12, 56, 56)] * 4
    assert all(torch.allclose(found.amax(dim=(1, 2)), torch.ones(12)) for found in maps)
    assert torch.equal(maps[-1], logit_gradients(classifier, grey, classes)[0])
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert classifier.training


def test_an_images_gradients_do_not_depend_on_the_images_beside_it(scenes: MarkedDigits) -> None:
    classifier, grey, classes = make_classifier(), to_grey(scenes.images), torch.from_numpy(scenes.classes)
    for all_maps, one in zip(
        layer_gradients(classifier, grey, classes), layer_gradients(classifier, grey[4:5], classes[4:5]), strict=True
    ):
        assert torch.allclose(all_maps[4], one[0], atol=1e-5)


def test_ratios_are_those_of_digit_marker_and_background(scenes: MarkedDigits) -> None:
    regions = Regions.of(scenes)
    maps = torch.from_numpy(scenes.marker).float()
    assert regions.ratios(maps, threshold=0.3)[:2].tolist() == [[0.0, 1.0, 0.0]] * 2
    assert regions.one(5).ratios(maps[5:6], threshold=0.3).tolist() == [[0.0, 1.0, 0.0]]


def test_a_region_that_an_image_lacks_has_no_ratio() -> None:
    plain = make_marked_digits(print_digits(MARKED_DIGITS), images=2, marked_share=0.0, rng=np.random.default_rng(0))
    ratios = Regions.of(plain).ratios(torch.ones(2, 56, 56), threshold=0.3)
    assert ratios[:, [0, 2]].tolist() == [[1.0, 1.0]] * 2
    assert bool(ratios[:, 1].isnan().all())


def test_twins_start_alike_and_end_differently(scenes: MarkedDigits) -> None:
    sigmoid, again, softmax = (
        train_twin(scenes, activation, norm=True, epochs=1, seed=0) for activation in ("sigmoid", "sigmoid", "softmax")
    )
    weights = [twin.classifier.weight for twin in (sigmoid, again, softmax)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_without_epochs_twins_are_equal_and_untrained(scenes: MarkedDigits) -> None:
    sigmoid, softmax = (train_twin(scenes, activation, norm=True, epochs=0, seed=0) for activation in ACTIVATIONS)
    trained = train_twin(scenes, "sigmoid", norm=True, epochs=1, seed=0)
    assert torch.equal(sigmoid.classifier.weight, softmax.classifier.weight)
    assert not torch.equal(sigmoid.classifier.weight, trained.classifier.weight)


def test_accuracy_counts_the_highest_logit(scenes: MarkedDigits) -> None:
    classifier = make_classifier()
    with torch.no_grad():
        classifier.classifier.weight[0] = 1
        classifier.classifier.weight[1] = -1
    assert measure_accuracy(classifier, scenes) == 0.5


@pytest.mark.parametrize("pooling", ["gap", "gndrp"])
def test_our_loop_does_what_rib_does(scenes: MarkedDigits, pooling: str) -> None:
    classifier = make_classifier()
    target = Regions.of(scenes).one(0)
    watched = watch_adaptation(
        classifier,
        target,
        batches(scenes, 4),
        objective="gap" if pooling == "gap" else "gndrp",
        activation="sigmoid",
        updates=3,
        lr=1e-3,
        threshold=0.3,
    )
    logits: list[float] = []
    goal = Goal("gap" if pooling == "gap" else "gndrp", 0.4, "all", None, math.inf)
    pair = flip_pair(normalise(np.repeat(scenes.images[0][:, :, None], 3, axis=2)))

    def look() -> None:
        logits.append(float(logit_gradients(classifier, target.grey, target.classes)[1]))

    climb(classifier, goal, pair, one_hot(target.classes)[0], batches(scenes, 4), updates=3, lr=1e-3, look=look)
    assert watched.logits == pytest.approx(logits, rel=1e-6)
    assert len(set(logits)) == 4


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_adaptation_is_watched_before_the_first_update_and_after_each(scenes: MarkedDigits, objective: str) -> None:
    classifier = make_classifier()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    target = Regions.of(scenes).one(0)
    watched = watch_adaptation(
        classifier,
        target,
        batches(scenes, 3),
        objective=next(known for known in OBJECTIVES if known == objective),
        activation="softmax",
        updates=2,
        lr=1e-3,
        threshold=0.3,
    )
    maps, own = logit_gradients(classifier, target.grey, target.classes)
    assert len(watched.ratios) == len(watched.logits) == 3
    assert watched.ratios[0] == pytest.approx(target.ratios(maps, threshold=0.3)[0].tolist())
    assert watched.logits[0] == pytest.approx(float(own))
    assert watched.logits[1] != watched.logits[0]
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_an_objective_with_activation_is_minus_the_cross_entropy() -> None:
    scores = torch.tensor([[[[1.0, 3.0]], [[0.0, 0.0]]]])  # pooled: 2 and 0
    tags = torch.tensor([[1.0, 0.0]])
    sigmoid = -(math.log1p(math.exp(-2)) + math.log(2))
    assert float(FinalActivation("sigmoid")(scores, tags)) == pytest.approx(sigmoid)
    assert float(FinalActivation("softmax")(scores, tags)) == pytest.approx(-math.log1p(math.exp(-2)))


def test_partners_show_the_other_class_and_do_not_depend_on_other_images(scenes: MarkedDigits) -> None:
    settings = BottleneckSettings(iterations=2, partners=4)
    first = list(draw_partners(scenes, 1, settings, seed=0, place=7))
    again = list(draw_partners(scenes, 1, settings, seed=0, place=7))
    other = list(draw_partners(scenes, 1, settings, seed=0, place=8))
    assert [tuple(images.shape) for images, _ in first] == [(4, 3, 56, 56)] * 3
    assert all(tags.tolist() == [[1.0, 0.0]] * 4 for _, tags in first)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


def test_partners_repeat_where_there_are_too_few_and_may_be_none(scenes: MarkedDigits) -> None:
    many = next(draw_partners(scenes, 0, BottleneckSettings(partners=9), seed=0, place=0))
    none = next(draw_partners(scenes, 0, BottleneckSettings(partners=0), seed=0, place=0))
    assert many[0].shape[0] == 9
    assert none[0].shape == (0, 3, 56, 56)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (BottleneckSettings(seeds=()), "--seeds: expected one or more whole numbers .* got none"),
        (BottleneckSettings(seeds=(1, 1)), "--seeds: .* without repeats, got 1 1"),
        (BottleneckSettings(seeds=(-1,)), "--seeds: .* got -1"),
        (BottleneckSettings(images=1, adapted=1), "--images: expected 2 or more, got 1"),
        (BottleneckSettings(adapted=0), "--adapted: expected 1 or more, got 0"),
        (BottleneckSettings(images=5, adapted=6), "--adapted: expected no more than --images, 5, got 6"),
        (BottleneckSettings(train_images=0), "--train-images: expected 20 or more, got 0"),
        (BottleneckSettings(epochs=-1), "--epochs: expected 0 or more, got -1"),
        (BottleneckSettings(iterations=0), "--iterations: expected 1 or more, got 0"),
        (BottleneckSettings(partners=-1), "--partners: expected 0 or more, got -1"),
        (BottleneckSettings(learning_rate=0.0), "--lr: expected a number above 0, got 0.0"),
        (BottleneckSettings(learning_rate=math.nan), "--lr: expected a number above 0, got nan"),
        (BottleneckSettings(threshold=1.0), "--threshold: expected a number from 0 to below 1, got 1.0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_the_options_name(settings: BottleneckSettings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings.check()


def made_twin(marker: list[float], *, after: float, logit: float) -> TwinResult:
    """A twin with HGR of the marker by layer, and of the logit after the only update of every objective."""
    layers = [[0.5, share, 0.1] for share in marker]
    updates = [layers[-1], [0.5, after, 0.1]]
    every = dict.fromkeys(OBJECTIVES)
    return TwinResult(
        accuracy=1.0,
        marked_accuracy=0.99,
        marker_accuracy=0.5,
        layers=layers,
        adaptations={name: updates for name in every},
        logits={name: [2.0, logit] for name in every},
        times_s={name: 0.25 for name in every},
    )


def test_the_table_has_means_spreads_and_changes_within_every_seed() -> None:
    first = made_twin([0.9, 0.8, 0.7, 0.6, 0.5, 0.2], after=0.4, logit=6.0)
    second = made_twin([0.9, 0.8, 0.7, 0.6, 0.3, 0.4], after=0.3, logit=10.0)
    results = {0: dict.fromkeys(ACTIVATIONS, first), 7: dict.fromkeys(ACTIVATIONS, second)}
    table = make_table(results, BottleneckSettings(images=5, adapted=5), source="bars")
    assert table.title.endswith("bars, 5 images with a marker, 2 seeds")
    rows = {(row["trained_with"], row["measured"]): row for row in table.to_records()}
    assert len(rows) == len(ACTIVATIONS) * (6 + 1 + 2 * len(OBJECTIVES))
    change = rows["softmax", "change from layer 5"]
    assert change["marker"] == pytest.approx(-0.1)
    assert change["marker_sd"] == pytest.approx(np.std([-0.3, 0.1], ddof=1), abs=1e-6)
    assert change["marker_rises"] == 1
    assert rows["sigmoid", "logit"]["marker"] == pytest.approx(0.3)
    adapted, rise = rows["sigmoid", "logit, RIB, GNDRP"], rows["sigmoid", "change by RIB, GNDRP"]
    assert (adapted["marker"], adapted["logit"], adapted["seconds_per_image"]) == (0.35, 8.0, 0.25)
    assert (rise["marker"], rise["logit"], rise["marker_rises"]) == (0.05, 6.0, 1)
    assert MARKER == 1


def test_one_seed_has_no_spread() -> None:
    twin = made_twin([0.9, 0.8, 0.7, 0.6, 0.5, 0.2], after=0.4, logit=6.0)
    table = make_table({0: dict.fromkeys(ACTIVATIONS, twin)}, BottleneckSettings(), source="bars")
    assert set(table.column("marker_sd")) == {None}
    assert table.title.endswith("1 seed")
    assert "sigmoid: accuracy by seed on unseen images without a marker 100 %" in table.notes[-2]


def test_the_details_hold_every_seed_layer_and_update() -> None:
    twin = made_twin([0.9, 0.8, 0.7, 0.6, 0.5, 0.2], after=0.4, logit=6.0)
    details = make_details({3: dict.fromkeys(ACTIVATIONS, twin)})
    assert len(details.rows) == len(ACTIVATIONS) * (6 + 2 * len(OBJECTIVES))
    assert details.rows[0] == ("sigmoid", 3, "layer", 1, 0.5, 0.9, 0.1, None)
    assert details.rows[7] == ("sigmoid", 3, "RIB, GNDRP", 1, 0.5, 0.4, 0.1, 6.0)
