import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.golden_weights import GOLDEN, fill_state_dict, load_layout
from tests.tiny import NARROW_GROUPS
from weakseg.errors import ConfigError, ShapeError
from weakseg.localize.cam import CAM_SCALES, flip_pair, score_maps
from weakseg.localize.rib import RIBResult, adapt
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.models.efficientnet_lite import EfficientNetLite
from weakseg.models.weights import load_official
from weakseg.ops.images import normalise
from weakseg.types import ScoreMaps

HEIGHT, WIDTH, NUM_CLASSES = 37, 52, 3
TAGS = np.array([1, 0, 1], np.uint8)
SCALES = (1.0, 0.5, 1.5)
LR = 1e-3
"""High enough for a small network with random weights to change visibly."""

Batch = tuple[Tensor, Tensor]


def build(num_classes: int = NUM_CLASSES, *, freeze_trunk: bool = False) -> Classifier:
    generator = torch.Generator().manual_seed(0)
    network = build_classifier(
        "critter", num_classes=num_classes, freeze_trunk=freeze_trunk, fixed_norm=False, generator=generator
    )
    # With the usual small weights of a fresh classifier all scores would be close to 0.
    torch.nn.init.normal_(network.classifier.weight, std=0.3, generator=generator)
    return network.eval()


@pytest.fixture
def classifier() -> Classifier:
    return build()


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def draw_partners(iterations: int, *, batch: int = 2, num_classes: int = NUM_CLASSES) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    tags = torch.zeros(batch, num_classes)
    tags[:, 1 % num_classes] = 1
    return [(torch.randn(batch, 3, 24, 24, generator=generator), tags) for _ in range(iterations)]


def assert_same_maps(maps: ScoreMaps, expected: ScoreMaps, *, factor: float = 1.0) -> None:
    assert maps.keys == expected.keys
    assert maps.size_hw == expected.size_hw
    for part, expected_part in zip(maps.scales, expected.scales, strict=True):
        torch.testing.assert_close(part, factor * expected_part, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def official() -> Classifier:
    """The network of the recordings."""
    network = load_official(fill_state_dict(load_layout("resnet50_cam").shapes), "resnet50_cam")
    assert isinstance(network, Classifier)
    return network


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recording", "stopped_by"),
    [("rib_full", "completed"), ("rib_area_stop", "area"), ("rib_logit_stop", "logit")],
)
def test_adaptation_is_the_recorded_one(official: Classifier, recording: str, stopped_by: str) -> None:
    golden = np.load(GOLDEN / f"{recording}.npz")
    before = {name: value.clone() for name, value in official.state_dict().items()}
    result = adapt(
        official,
        golden["image_rgb"],
        golden["label"],
        zip(golden["batch_images"], golden["batch_labels"], strict=True),
        iterations=int(golden["max_iterations"]),
        lr=float(golden["lr"]),
        weight_decay=float(golden["weight_decay"]),
        threshold=float(golden["threshold"]),
        logit_stop=float(golden["logit_stop"]),
        area_threshold=float(golden["area_threshold"]),
        area_ratio=float(golden["area_ratio"]),
        scales=golden["scales"].tolist(),
    )
    assert result.iterations == golden["iterations_run"]
    assert result.stopped_by == stopped_by
    np.testing.assert_allclose(result.losses, golden["losses"], rtol=1e-3)
    np.testing.assert_allclose(result.target_losses, golden["target_losses"], rtol=1e-3)
    np.testing.assert_allclose(result.maps.strided(4).numpy(), golden["strided"], atol=2e-3)
    np.testing.assert_allclose(result.maps.full().numpy(), golden["high_res"], atol=2e-3)
    assert all(torch.equal(value, before[name]) for name, value in official.state_dict().items())


def test_one_iteration_gives_the_class_activation_maps(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    result = adapt(classifier, image, TAGS, draw_partners(1), iterations=1, lr=LR, scales=CAM_SCALES)
    assert_same_maps(result.maps, score_maps(classifier, image, TAGS, scales=CAM_SCALES))
    assert (result.iterations, result.stopped_by) == (1, "completed")


def test_without_mirror_image_an_image_is_seen_alone_in_maps_and_loss(
    classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    partners = draw_partners(1, batch=0)
    result = adapt(classifier, image, TAGS, partners, iterations=1, lr=LR, scales=(1.0,), mirror=False, pooling="gap")
    with torch.no_grad():
        scores = classifier.head(classifier.trunk(normalise(image)[None]))[0, [0, 2]]
    torch.testing.assert_close(result.maps.scales[0], scores.relu(), rtol=1e-4, atol=1e-5)
    assert result.target_losses[0] == pytest.approx(float(scores.mean(dim=(1, 2)).sum()), rel=1e-4, abs=1e-4)


def test_first_loss_is_minus_the_sum_of_the_pooled_logits(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    images, tags = draw_partners(1)[0]
    result = adapt(classifier, image, TAGS, [(images, tags)], iterations=1, lr=LR, scales=(1.0, 0.5), pooling="gap")
    with torch.no_grad():
        # Of the two scales, 0.5 is left out of the loss.
        own = float(classifier(flip_pair(normalise(image)))[:, [0, 2]].sum())
        others = float(classifier(images)[:, 1].sum())
    assert result.target_losses == pytest.approx((own,), rel=1e-4)
    assert result.losses == pytest.approx((-own - others,), rel=1e-4)


def test_own_logits_rise_and_maps_add_up(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    seen: list[ScoreMaps] = []
    result = adapt(
        classifier,
        image,
        TAGS,
        draw_partners(4),
        iterations=4,
        lr=LR,
        scales=SCALES,
        logit_stop=math.inf,
        area_ratio=1.0,
        after_iteration=seen.append,
    )
    assert (result.iterations, result.stopped_by) == (4, "completed")
    assert list(result.target_losses) == sorted(result.target_losses)
    assert len(result.losses) == len(seen) == 4
    assert_same_maps(seen[0], score_maps(classifier, image, TAGS, scales=SCALES))
    assert_same_maps(seen[-1], result.maps)
    for earlier, later in pairwise(seen):
        for before, after in zip(earlier.scales, later.scales, strict=True):
            assert bool((after >= before).all())
            assert not torch.equal(after, before)


def test_maps_before_the_first_update_do_not_depend_on_what_follows(
    classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    seen: list[ScoreMaps] = []
    for lr in (0.0, LR):
        adapt(
            classifier, image, TAGS, draw_partners(2), iterations=2, lr=lr, area_ratio=1.0, after_iteration=seen.append
        )
    assert_same_maps(seen[2], seen[0])
    # Without learning the second maps are the first.
    assert_same_maps(seen[1], seen[0], factor=2.0)


def test_trunk_sees_every_scale_once_and_every_batch_once(
    classifier: Classifier, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    trunk = classifier.trunk

    def count(x: Tensor) -> Tensor:
        passes.append(len(x))
        return trunk(x)

    monkeypatch.setattr(classifier, "trunk", count)
    adapt(classifier, image, TAGS, draw_partners(3, batch=5), iterations=3, lr=LR, scales=SCALES, area_ratio=1.0)
    assert passes == [2, 2, 2, 5, 5, 5]


def test_logit_rule_stops_after_the_iteration_that_exceeds_it(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    def run(logit_stop: float) -> RIBResult:
        partners = draw_partners(4, batch=0)
        return adapt(
            classifier,
            image,
            TAGS,
            partners,
            iterations=4,
            lr=LR,
            logit_stop=logit_stop,
            area_ratio=1.0,
            pooling="gap",
        )

    with torch.no_grad():
        classifier.classifier.weight.abs_()  # so that every logit is positive
    first, second, third, fourth = run(math.inf).target_losses
    assert 0 < first < second < third < fourth
    # In the last iteration there is nothing left to stop.
    for limit, iterations, reason in (
        (0.99 * first, 1, "logit"),
        ((second + third) / 2, 3, "logit"),
        ((third + fourth) / 2, 4, "completed"),
    ):
        result = run(limit)
        assert (result.iterations, result.stopped_by) == (iterations, reason)
        assert len(result.losses) == len(result.target_losses) == iterations
    with torch.no_grad():
        classifier.classifier.weight.neg_()
    # It is the magnitude that counts.
    assert run(0.99 * first).iterations == 1


@pytest.mark.parametrize("scales", [(1.0, 0.5, 1.5), (0.5, 1.5, 1.0)])
def test_area_rule_stops_the_second_iteration_after_scale_1(
    scales: tuple[float, ...], classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    result = adapt(
        classifier, image, TAGS, draw_partners(1), iterations=4, lr=0.0, scales=scales, area_ratio=0.0, logit_stop=1e9
    )
    assert (result.iterations, result.stopped_by) == (2, "area")
    assert len(result.losses) == len(result.target_losses) == 1
    for scale, part, cam in zip(
        scales, result.maps.scales, score_maps(classifier, image, TAGS, scales=scales).scales, strict=True
    ):
        torch.testing.assert_close(part, (2.0 if scale == 1.0 else 1.0) * cam, rtol=1e-4, atol=1e-5)


def test_area_rule_compares_the_share_of_covered_positions(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    maps = score_maps(classifier, image, TAGS, scales=(1.0,)).scales[0]
    share = float((maps / maps.amax(dim=(1, 2), keepdim=True) > 0.5).any(dim=0).float().mean())
    assert 0 < share < 1
    for ratio, reason in ((share - 0.01, "area"), (share + 0.01, "completed")):
        result = adapt(
            classifier,
            image,
            TAGS,
            draw_partners(2),
            iterations=2,
            lr=0.0,
            area_threshold=0.5,
            area_ratio=ratio,
            logit_stop=1e9,
        )
        assert result.stopped_by == reason


def test_partner_that_is_not_finite_ends_the_adaptation_with_what_there_is(
    classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    partners = draw_partners(4)
    partners[1][0][0, 0, 0, 0] = math.nan
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    result = adapt(classifier, image, TAGS, partners, iterations=4, lr=LR, area_ratio=1.0)
    assert (result.iterations, len(result.losses), result.stopped_by) == (2, 1, "diverged")
    assert bool(result.maps.full().isfinite().all())
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_exploding_weights_end_the_adaptation_with_the_maps_before(
    classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    cam = score_maps(classifier, image, TAGS)
    result = adapt(classifier, image, TAGS, draw_partners(4), iterations=4, lr=1e30, area_ratio=1.0)
    assert (result.iterations, len(result.losses), result.stopped_by) == (1, 1, "diverged")
    assert_same_maps(result.maps, cam)
    # The next image starts from clean weights.
    assert_same_maps(score_maps(classifier, image, TAGS), cam)


def test_classifier_that_is_broken_from_the_start_gives_maps_of_zeros(
    classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    with torch.no_grad():
        classifier.classifier.weight.fill_(math.nan)
    result = adapt(classifier, image, TAGS, draw_partners(2), iterations=2)
    assert (result.iterations, result.losses, result.stopped_by) == (0, (), "diverged")
    assert not result.maps.full().any()


def test_paper_form_bounds_every_logit_and_stops_nothing(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    margin = -100.0
    result = adapt(
        classifier,
        image,
        TAGS,
        draw_partners(3),
        iterations=3,
        lr=LR,
        scales=SCALES,
        variant="paper",
        logit_stop=margin,
        area_ratio=1.0,
    )
    # Two classes, two scales in the loss, two mirror images; beyond the margin no gradient moves the maps.
    assert result.target_losses == pytest.approx((8 * margin,) * 3)
    assert result.losses == pytest.approx((-(8 + 2) * margin,) * 3)
    assert result.stopped_by == "completed"
    assert_same_maps(result.maps, score_maps(classifier, image, TAGS, scales=SCALES), factor=3.0)


def test_forms_and_poolings_differ(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    def first_loss(**options: str | int) -> float:
        return adapt(classifier, image, TAGS, draw_partners(1), iterations=1, lr=LR, **options).losses[0]

    released, paper, gap = first_loss(), first_loss(variant="paper"), first_loss(pooling="gap")
    assert len({released, paper, gap}) == 3
    assert first_loss(first_classes=0) == pytest.approx(gap, rel=1e-5)
    assert first_loss(first_classes=NUM_CLASSES) == released
    assert first_loss(first_classes=1) not in (released, gap)


def test_loss_of_another_stride_leads_where_that_stride_leads_and_the_maps_keep_theirs(
    image: NDArray[np.uint8],
) -> None:
    backbone = EfficientNetLite(NARROW_GROUPS, fixed_norm=True, generator=torch.Generator().manual_seed(0))
    usual = Classifier(backbone, num_classes=NUM_CLASSES, freeze_trunk=True).eval()
    torch.nn.init.normal_(usual.classifier.weight, std=0.3, generator=torch.Generator().manual_seed(1))
    coarse, before = usual.at_stride(32), {name: value.clone() for name, value in usual.state_dict().items()}

    def run(network: Classifier, loss_stride_px: int | None) -> RIBResult:
        return adapt(
            network,
            image,
            TAGS,
            draw_partners(3),
            iterations=3,
            lr=LR,
            scales=(1.0, 1.5),
            area_ratio=1.0,
            loss_stride_px=loss_stride_px,
        )

    mixed, fine, alone = run(usual, 32), run(usual, None), run(coarse, None)
    assert mixed.losses == alone.losses != fine.losses
    assert [part.shape for part in mixed.maps.scales] == [part.shape for part in fine.maps.scales]
    assert mixed.maps.scales[0].shape != alone.maps.scales[0].shape
    assert all(torch.equal(value, before[name]) for name, value in usual.state_dict().items())
    with pytest.raises(ConfigError, match="EfficientNetLite has beside 16, 32, got 64"):
        run(usual, 64)


def test_portions_of_partners_change_nothing(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    results = [
        adapt(
            classifier,
            image,
            TAGS,
            draw_partners(3, batch=5),
            iterations=3,
            lr=LR,
            scales=SCALES,
            area_ratio=1.0,
            max_partners_at_once=limit,
        )
        for limit in (None, 2)
    ]
    assert results[1].losses == pytest.approx(results[0].losses, rel=1e-4)
    assert_same_maps(results[1].maps, results[0].maps)


def test_image_may_be_adapted_without_partners(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    result = adapt(classifier, image, TAGS, draw_partners(2, batch=0), iterations=2, lr=LR, area_ratio=1.0)
    assert result.stopped_by == "completed"
    assert result.losses == pytest.approx([-value for value in result.target_losses])


def test_image_without_tags_costs_nothing_and_asks_for_no_partners(image: NDArray[np.uint8]) -> None:
    def refuse() -> Iterator[Batch]:
        raise AssertionError("partners were asked for")
        yield

    classifier = build()
    result = adapt(classifier, image, np.zeros(NUM_CLASSES), refuse(), scales=SCALES)
    expected = score_maps(classifier, image, np.zeros(NUM_CLASSES), scales=SCALES)
    assert result.maps.keys == ()
    assert [part.shape for part in result.maps.scales] == [part.shape for part in expected.scales]
    assert (result.iterations, result.losses, result.stopped_by) == (0, (), "completed")


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_any_number_of_classes_is_adapted(num_classes: int, image: NDArray[np.uint8]) -> None:
    partners = draw_partners(2, num_classes=num_classes)
    result = adapt(build(num_classes), image, np.ones(num_classes), partners, iterations=2, scales=(1.0,))
    assert result.maps.scales[0].shape[0] == num_classes
    assert result.maps.scales[0].dtype == torch.float32


def test_partners_come_in_any_kind(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    partners = [(images.half(), tags) for images, tags in draw_partners(2)]
    kinds = [
        partners,
        [(images.numpy(), tags.numpy().astype(np.uint8)) for images, tags in partners],
        ((images.double(), tags.bool()) for images, tags in partners),
    ]
    results = [adapt(classifier, image, TAGS, kind, iterations=2, lr=LR) for kind in kinds]
    assert results[0].losses == results[1].losses == results[2].losses


def test_frozen_trunk_makes_no_difference(image: NDArray[np.uint8]) -> None:
    results = [
        adapt(build(freeze_trunk=frozen), image, TAGS, draw_partners(3), iterations=3, lr=LR, area_ratio=1.0)
        for frozen in (True, False)
    ]
    assert results[0].losses == results[1].losses


def test_classifier_may_be_in_training_mode_without_gradients(image: NDArray[np.uint8]) -> None:
    expected = adapt(build(), image, TAGS, draw_partners(3), iterations=3, lr=LR, area_ratio=1.0)
    classifier = build().train().requires_grad_(False)
    with torch.no_grad():
        result = adapt(classifier, image, TAGS, draw_partners(3), iterations=3, lr=LR, area_ratio=1.0)
    assert result.losses == expected.losses
    assert not result.maps.scales[0].requires_grad


def test_error_of_the_partners_leaves_classifier_and_image_alone(
    classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    changed: list[bool] = []
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    pixels = image.copy()

    def fail_late() -> Iterator[Batch]:
        yield from draw_partners(2)
        changed.append(not torch.equal(classifier.classifier.weight, before["classifier.weight"]))
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        adapt(classifier, image, TAGS, fail_late(), iterations=4, lr=LR, area_ratio=1.0)
    assert changed == [True]
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert np.array_equal(image, pixels)


@pytest.mark.slow
def test_memory_layout_and_autocast_hardly_change_the_maps(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    plain, laid_out, cast = (
        adapt(
            classifier,
            image,
            TAGS,
            draw_partners(3),
            iterations=3,
            area_ratio=1.0,
            channels_last=channels_last,
            autocast=autocast,
        ).maps.full()
        for channels_last, autocast in ((False, False), (True, False), (False, True))
    )
    torch.testing.assert_close(laid_out, plain, rtol=0, atol=1e-5)
    assert not torch.equal(cast, plain)
    assert cast.dtype == torch.float32
    torch.testing.assert_close(cast, plain, rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"iterations": 0}, "iterations: an adaptation has at least 1, got 0"),
        ({"scales": (0.5, 2.0)}, r"scales: RIB needs 1 among them, got \(0.5, 2.0\)"),
        ({"max_partners_at_once": 0}, "max_partners_at_once: expected 1 or more, or None for all, got 0"),
        ({"variant": "official"}, "variant: expected one of paper, released, got 'official'"),
        ({"pooling": "gmp"}, "pooling: expected one of gap, gndrp, got 'gmp'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    option: dict[str, object], message: str, classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    with pytest.raises(ConfigError, match=message):
        adapt(classifier, image, TAGS, draw_partners(1), **option)


def test_too_few_batches_are_refused(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match="a batch of partners for every iteration, but they ended after 1"):
        adapt(classifier, image, TAGS, draw_partners(1), iterations=2, area_ratio=1.0)


@pytest.mark.parametrize(
    ("images_shape", "tags_shape"), [((2, 3, 24), (2, 3)), ((2, 1, 24, 24), (2, 3)), ((2, 3, 24, 24), (2, 4))]
)
def test_partners_of_another_shape_are_refused(
    images_shape: tuple[int, ...], tags_shape: tuple[int, ...], classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    with pytest.raises(ShapeError, match=r"expected partners \(B, 3, S, S\) and their tags \(B, 3\), got \(2, "):
        adapt(classifier, image, TAGS, [(torch.zeros(images_shape), torch.zeros(tags_shape))])


def test_partners_must_be_normalised_and_tagged_with_0_and_1(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    images, tags = draw_partners(1)[0]
    with pytest.raises(ShapeError, match=r"normalised float images of partners, got torch.uint8 in iteration 1"):
        adapt(classifier, image, TAGS, [(images.to(torch.uint8), tags)])
    with pytest.raises(ShapeError, match=r"tags of partners are 0 or 1, got values \[0.0, 255.0\] in iteration 1"):
        adapt(classifier, image, TAGS, [(images, 255 * tags)])


def test_tags_and_images_of_another_shape_are_refused(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match=r"expected tags of shape \(3,\)"):
        adapt(classifier, image, np.ones(4), [])
    with pytest.raises(ShapeError, match=r"expected a non-empty \(H, W, 3\) uint8 RGB image"):
        adapt(classifier, image[..., 0], TAGS, [])
