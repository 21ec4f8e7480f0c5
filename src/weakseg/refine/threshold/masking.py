"""What the classifier says of an image's foreground alone, and of its background alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.models.classifier import Classifier
from weakseg.ops.images import normalise
from weakseg.refine.threshold.cuts import Cuts


@torch.no_grad()
def score_confidence(classifier: Classifier, cuts: Cuts) -> NDArray[np.float64]:
    """Score every threshold by the classifier's confidence in the foreground less that in the background.

    What is hidden is painted in the image's mean colour. With several tags the foreground is that of all of them.

    Args:
        classifier: In evaluation mode; runs where it is.
        cuts: An image of at least one tag.

    Returns:
        (T,) in -1..1: mean probability of the image's own tags when the background is hidden, less that when the
        foreground is.
    """
    device = next(classifier.parameters()).device
    keys = list(cuts.keys)
    mean = cuts.image.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    scores = []
    for labels in cuts.masks:
        foreground = (labels > 0)[..., None]
        shown = [np.where(foreground, cuts.image, mean), np.where(foreground, mean, cuts.image)]
        logits = classifier(torch.stack([normalise(image) for image in shown]).to(device))
        inside, outside = logits[:, keys].sigmoid().mean(dim=1).tolist()
        scores.append(inside - outside)
    return np.array(scores)
