import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weakseg.errors import ShapeError
from weakseg.ops.losses import multilabel_soft_margin


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_with_every_tag_known_it_is_torchs_loss(num_classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, num_classes, generator=generator)
    tags = (torch.rand(5, num_classes, generator=generator) < 0.3).float()
    expected = torch.nn.functional.multilabel_soft_margin_loss(logits, tags)
    torch.testing.assert_close(multilabel_soft_margin(logits, tags, torch.ones_like(tags).bool()), expected)


def test_mean_is_over_known_tags_then_over_images() -> None:
    logits = torch.tensor([[0.0, 50.0, 50.0], [0.0, 0.0, 0.0]])
    tags = torch.tensor([[1, 0, 0], [0, 1, 0]])
    known = torch.tensor([[True, False, False], [True, True, True]])
    assert multilabel_soft_margin(logits, tags, known).item() == pytest.approx(math.log(2))
    known[0, 1] = True
    # The first image's loss becomes the mean of log 2 and 50.
    expected = ((math.log(2) + 50) / 2 + math.log(2)) / 2
    assert multilabel_soft_margin(logits, tags, known).item() == pytest.approx(expected)


def test_unknown_tags_get_no_gradient_even_at_infinite_logits() -> None:
    logits = torch.tensor([[1.0, math.inf, -2.0]], requires_grad=True)
    loss = multilabel_soft_margin(logits, torch.tensor([[1, 0, 0]]), torch.tensor([[True, False, True]]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    # d loss / d logit = (sigmoid(logit) - tag) / 2 known tags.
    expected = [(1 / (1 + math.exp(-1)) - 1) / 2, 0.0, 1 / (1 + math.exp(2)) / 2]
    assert logits.grad[0].tolist() == pytest.approx(expected)


def test_image_with_nothing_known_is_left_out() -> None:
    logits = torch.tensor([[0.0, 0.0], [4.0, -9.0]], requires_grad=True)
    known = torch.tensor([[True, True], [False, False]])
    loss = multilabel_soft_margin(logits, torch.tensor([[1, 0], [0, 0]]), known)
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[1].tolist() == [0.0, 0.0]


def test_batch_with_nothing_known_has_loss_and_gradient_zero() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = multilabel_soft_margin(logits, torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


@given(st.floats(-80, 80), st.booleans())
def test_loss_of_one_tag_is_the_negative_log_of_its_probability(logit: float, tag: bool) -> None:
    loss = multilabel_soft_margin(torch.tensor([[logit]]), torch.tensor([[tag]]), torch.tensor([[True]]))
    expected = math.log1p(math.exp(-logit)) if tag else math.log1p(math.exp(logit))
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_shapes_that_differ_are_refused() -> None:
    known = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ShapeError, match=r"one shape \(N, C\), got \(2, 3\), \(2, 4\) and \(2, 3\)"):
        multilabel_soft_margin(torch.zeros(2, 3), torch.zeros(2, 4), known)
    with pytest.raises(ShapeError, match=r"one shape \(N, C\)"):
        multilabel_soft_margin(torch.zeros(3), torch.zeros(3), known[0])


def test_known_must_be_bool() -> None:
    with pytest.raises(ShapeError, match=r"expected known as bool, got torch\.float32"):
        multilabel_soft_margin(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 3))


def test_integer_logits_are_refused() -> None:
    known = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ShapeError, match=r"expected float logits, got torch\.int64"):
        multilabel_soft_margin(torch.zeros(2, 3).long(), torch.zeros(2, 3), known)
