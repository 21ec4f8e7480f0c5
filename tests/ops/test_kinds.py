from collections.abc import Callable

import numpy as np
import pytest
import torch

from weakseg.errors import ShapeError
from weakseg.ops.affinity import affinity_displacement_losses, path_affinity
from weakseg.ops.crf import dense_crf, refine_labels
from weakseg.ops.instances import cluster_centroids, find_centroids
from weakseg.ops.kinds import require_array, require_tensor
from weakseg.ops.metrics import ConfusionMatrix, ThresholdSweep
from weakseg.ops.pooling import gap, gndrp
from weakseg.ops.walk import affinity_walk, random_walk
from weakseg.refine.confidence import confident_labels
from weakseg.refine.masks import seed_to_mask

IMAGE = np.zeros((6, 9, 3), np.uint8)
LABELS = np.zeros((6, 9), np.int64)
MAPS = np.zeros((2, 6, 9), np.float32)
FIELD = np.zeros((2, 6, 9), np.float32)


def test_what_arrived_and_how_to_convert_it_are_said() -> None:
    with pytest.raises(ShapeError, match=r"^maps: expected a NumPy array, got torch\.Tensor; .*value\.detach\(\)\.cpu"):
        require_array(torch.zeros(2), "maps")
    with pytest.raises(ShapeError, match=r"^edge: expected a torch tensor, got numpy\.ndarray; .*torch\.from_numpy"):
        require_tensor(np.zeros(2), "edge")
    for require in (require_array, require_tensor):
        with pytest.raises(ShapeError, match=r", got list$"):
            require([1.0], "maps")


def test_the_right_kind_passes() -> None:
    require_array(np.zeros(0), "maps")
    require_tensor(torch.nn.Parameter(torch.zeros(1)), "weight")


@pytest.mark.parametrize(
    "call",
    [
        lambda: confident_labels(IMAGE, torch.zeros(2, 6, 9), (0, 1), foreground=0.3, background=0.05),
        lambda: confident_labels(torch.zeros(6, 9, 3, dtype=torch.uint8), MAPS, (0, 1), foreground=0.3, background=0.1),
        lambda: seed_to_mask(torch.zeros(2, 6, 9), (0, 1), background_threshold=0.3),
        lambda: dense_crf(IMAGE, torch.zeros(2, 6, 9), gaussian=(3, 3), bilateral=(50, 5, 10)),
        lambda: refine_labels(IMAGE, torch.zeros(6, 9, dtype=torch.int64), num_labels=2),
        lambda: find_centroids(torch.zeros(2, 6, 9)),
        lambda: cluster_centroids(torch.zeros(2, 6, 9, dtype=torch.int64), FIELD),
        lambda: ConfusionMatrix(2).update(torch.zeros(6, 9, dtype=torch.int64), LABELS),
        lambda: ConfusionMatrix(2).update(LABELS, LABELS.tolist()),
        lambda: ThresholdSweep(3, (0.1, 0.2)).update(torch.zeros(2, 6, 9), (0, 1), LABELS),
    ],
)
def test_functions_of_arrays_refuse_anything_else(call: Callable[[], object]) -> None:
    with pytest.raises(ShapeError, match="expected a NumPy array, got"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: gap(np.zeros((1, 2, 3, 4), np.float32)),
        lambda: gndrp(torch.zeros(1, 2, 3, 4), np.zeros((1, 2)), threshold=0.4),
        lambda: random_walk(MAPS, torch.zeros(6, 9)),
        lambda: random_walk(torch.zeros(2, 6, 9), np.zeros((6, 9), np.float32)),
        lambda: affinity_walk(torch.zeros(2, 6, 9), np.zeros((3, 6, 9), np.float32)),
        lambda: path_affinity(np.zeros((1, 6, 9), np.float32), radius=2),
        lambda: affinity_displacement_losses(
            torch.zeros(1, 6, 9), torch.zeros(1, 2, 6, 9), LABELS[None], radius=2, num_labels=2
        ),
    ],
)
def test_functions_of_tensors_refuse_anything_else(call: Callable[[], object]) -> None:
    with pytest.raises(ShapeError, match="expected a torch tensor, got"):
        call()
