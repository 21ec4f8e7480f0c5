"""Parts of objects, and what gradients show of them, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from weakseg.studies.bottleneck.layer_gradients import ImageGradients, LogitMaps
from weakseg.studies.bottleneck.parts import ObjectParts, measure_object, measure_parts, split_objects


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
