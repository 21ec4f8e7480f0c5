"""Loss functions: tensors in, a differentiable scalar out."""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.errors import ShapeError


def multilabel_soft_margin(logits: Tensor, tags: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy of every known tag, averaged over the known tags of an image, then over the images.

    With every tag known this is `torch.nn.functional.multilabel_soft_margin_loss`, the loss of the released codes.

    Args:
        logits: (N, C) float.
        tags: (N, C) of 0 and 1 in any dtype.
        known: (N, C) bool; where it is False the tag counts for nothing and its logit gets no gradient.

    Returns:
        Scalar on the device of `logits`, in nats, at least 0. Images with nothing known are left out of the mean; if
        none is left it is 0 with a gradient of 0.

    Raises:
        ShapeError: If the three are not of one shape (N, C), the logits not float, or `known` not bool.
    """
    if logits.ndim != 2 or tags.shape != logits.shape or known.shape != logits.shape:
        shapes = f"{tuple(logits.shape)}, {tuple(tags.shape)} and {tuple(known.shape)}"
        raise ShapeError(f"expected logits, tags and known of one shape (N, C), got {shapes}")
    if not logits.is_floating_point():
        raise ShapeError(f"expected float logits, got {logits.dtype}")
    if known.dtype != torch.bool:
        raise ShapeError(f"expected known as bool, got {known.dtype}")
    # -log p of the tag, where p(1) = sigmoid(logit) and p(0) = sigmoid(-logit): precise where p is close to 1.
    losses = -torch.nn.functional.logsigmoid(logits * (2 * tags.to(logits.dtype) - 1))
    # `where`, not a product: an infinite loss times 0 would be NaN.
    losses = torch.where(known, losses, torch.zeros_like(losses))
    known_per_image = known.sum(dim=1)
    per_image = losses.sum(dim=1) / known_per_image.clamp(min=1)
    return per_image.sum() / (known_per_image > 0).sum().clamp(min=1)
