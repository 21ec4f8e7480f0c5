import numpy as np
import pytest

from weakseg.refine.threshold.choice import USUAL
from weakseg.refine.threshold.cuts import Cuts
from weakseg.refine.threshold.level import RATIO, mean_score, usual_threshold


def make_cuts(strongest: np.ndarray) -> Cuts:
    masks = np.zeros((1, *strongest.shape), np.uint8)
    return Cuts(np.zeros((*strongest.shape, 3), np.uint8), (0,), strongest, (0.5,), masks, masks)


def test_the_mean_is_over_all_pixels() -> None:
    strongest = np.array([[0.0, 0.2, 1.0], [0.0, 0.0, 0.0]], np.float32)
    assert mean_score(make_cuts(strongest)) == pytest.approx(0.2)


def test_wider_seeds_have_a_higher_usual_threshold() -> None:
    assert RATIO == 1.2
    assert usual_threshold([0.1, 0.15]) == pytest.approx(0.15)
    assert usual_threshold([0.25]) == pytest.approx(0.3)
    assert usual_threshold([0.9]) == 1.0


@pytest.mark.parametrize("means", [[], [0.0, 0.0]])
def test_without_evidence_it_is_the_default(means: list[float]) -> None:
    assert usual_threshold(means) == USUAL
