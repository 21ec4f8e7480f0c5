import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.golden_weights import GOLDEN, fill_state_dict, load_layout
from tests.localize.rib_case import LR, NUM_CLASSES, SCALES, TAGS, assert_same_maps, classifier, draw_partners, image
from tests.tiny import NARROW_GROUPS
from weakseg.errors import ConfigError
from weakseg.localize.cam import CAM_SCALES, flip_pair, score_maps
from weakseg.localize.rib import RIBResult, adapt
from weakseg.models.classifier import Classifier
from weakseg.models.efficientnet_lite import EfficientNetLite
from weakseg.models.weights import load_official
from weakseg.ops.images import normalise
from weakseg.types import ScoreMaps

assert all((classifier, image)), "fixtures"


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
