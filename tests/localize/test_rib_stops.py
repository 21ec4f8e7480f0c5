import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.localize.rib_case import LR, TAGS, assert_same_maps, classifier, draw_partners, image
from weakseg.localize.cam import score_maps
from weakseg.localize.rib import RIBResult, adapt
from weakseg.models.classifier import Classifier

assert all((classifier, image)), "fixtures"


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
