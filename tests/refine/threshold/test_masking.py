import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.refine.threshold.cutting import make_cuts, square
from tests.tiny import make_classifier
from weakseg.ops.images import normalise
from weakseg.refine.threshold.masking import score_confidence

SIZE_HW = (16, 21)


class Redness(nn.Module):
    """Two classes: the mean of red less that of blue, and the reverse."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        difference = self.weight * (images[:, 0] - images[:, 2]).mean(dim=(1, 2))
        return torch.stack([difference, -difference], dim=1)


def test_the_mask_that_holds_the_evidence_wins() -> None:
    truth = square(SIZE_HW, 4)
    image = np.full((*SIZE_HW, 3), 100, np.uint8)
    image[truth > 0] = (250, 0, 0)
    empty, half = np.zeros_like(truth), truth.copy()
    half[:, 10:] = 0
    scores = score_confidence(Redness(), make_cuts(image, [empty, half, truth]))
    assert scores[0] < scores[1] < scores[2]


def test_a_score_is_the_difference_of_two_probabilities() -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    mask = square(SIZE_HW, 5)
    classifier = make_classifier().eval()
    found = score_confidence(classifier, make_cuts(image, [mask], keys=(0, 2)))
    mean = image.reshape(-1, 3).mean(axis=0).round()
    inside, outside = image.copy(), image.copy()
    inside[mask == 0], outside[mask > 0] = mean, mean
    with torch.no_grad():
        probabilities = classifier(torch.stack([normalise(inside), normalise(outside)])).sigmoid()[:, [0, 2]]
    expected = probabilities.mean(dim=1)
    assert found.tolist() == pytest.approx([float(expected[0] - expected[1])], abs=1e-6)


def test_nothing_and_everything_are_opposites() -> None:
    image = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    empty, whole = square(SIZE_HW, 8), square(SIZE_HW, 0)
    assert not empty.any()
    nothing, everything = score_confidence(make_classifier().eval(), make_cuts(image, [empty, whole]))
    assert nothing == pytest.approx(-everything)
