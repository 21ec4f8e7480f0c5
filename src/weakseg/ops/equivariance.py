"""What SEAM asks of score maps (Wang et al., "Self-supervised Equivariant Attention Mechanism", CVPR 2020, section 3).

Shrinking an image should shrink its maps and change nothing else. The losses here compare maps that lie on one grid
already; `weakseg.train.seam` brings them there. `docs/seam.md` says what comes from the paper and what does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.types import NORMALISATION_EPS


def normalise_maps(maps: Tensor) -> Tensor:
    """Rectify maps and divide each by its maximum.

    Args:
        maps: (N, L, h, w) float. Not modified.

    Returns:
        `relu(maps - 1e-5) / (max + 1e-5)`, the maximum being that of the rectified map: in 0..1, same shape and dtype.
        A map without a value above 1e-5 becomes 0. The gradient passes through the maximum too.

    Raises:
        ShapeError: If `maps` is not (N, L, h, w) float with at least one position.
    """
    _require_maps(maps)
    rectified = maps.relu()
    maximum = rectified.amax(dim=(2, 3), keepdim=True)
    return (rectified - NORMALISATION_EPS).relu() / (maximum + NORMALISATION_EPS)


def compete(maps: Tensor) -> Tensor:
    """Put the background before the classes and leave each position to its strongest class.

    Args:
        maps: (N, C, h, w) float in 0..1, C at least 1, see `normalise_maps`. Not modified.

    Returns:
        (N, C + 1, h, w): first the background, 1 - the strongest class; then the classes, 0 where another is stronger.
        Classes that are equally strong all stay.

    Raises:
        ShapeError: If `maps` is not that.
    """
    _require_maps(maps)
    if maps.shape[1] == 0:
        raise ShapeError(f"a background needs at least one class beside it, got maps {tuple(maps.shape)}")
    strongest = maps.amax(dim=1, keepdim=True)
    return torch.cat((1 - strongest, torch.where(maps < strongest, torch.zeros_like(maps), maps)), dim=1)


def equivariance_loss(shrunk: Tensor, of_shrunk: Tensor) -> Tensor:
    """Return the mean absolute difference of two sets of maps: SEAM's equivariant regularisation (ER).

    Args:
        shrunk: (N, C, h, w) maps of the images, shrunk.
        of_shrunk: (N, C, h, w) maps of the shrunk images. Both get a gradient.

    Returns:
        A scalar, at least 0. Maps of absent classes, which are 0 in both, count in the mean: that makes this loss as
        small as its authors want it (https://github.com/YudeWang/SEAM/issues/1).

    Raises:
        ShapeError: If the two are not of one shape (N, C, h, w) with at least one element.
    """
    _require_alike(shrunk, of_shrunk)
    return (shrunk - of_shrunk).abs().mean()


def cross_equivariance_loss(refined: Tensor, target: Tensor, *, hardest_share: float) -> Tensor:
    """Return the mean absolute difference where it is largest: one half of SEAM's cross regularisation (ECR).

    The refined maps of one view learn from the plain maps of the other; the plain ones do not follow them, which
    keeps the two from agreeing on nothing at all.

    Args:
        refined: (N, C + 1, h, w) maps after pixel correlation, background first. They get the gradient.
        target: (N, C + 1, h, w) maps before it, of the other view. A constant to the gradient.
        hardest_share: Share, above 0 and up to 1, of an image's (C + 1) * h * w values that count, the worst ones; at
            least one does.

    Returns:
        A scalar, at least 0: the mean over the values that count, of all images.

    Raises:
        ShapeError: If the two are not of one shape (N, C + 1, h, w) with at least one element.
        ConfigError: If the share is not above 0 and at most 1.
    """
    _require_alike(refined, target)
    errors = (refined - target.detach()).abs().flatten(1)
    counted = _share_of(errors.shape[1], hardest_share, what="hardest_share")
    return errors.topk(counted, dim=1, sorted=False).values.mean()


def adaptive_min_pooling_loss(maps: Tensor, *, lowest_share: float) -> Tensor:
    """Return the mean of the strongest class where it is weakest, which is to become 0: some of an image is background.

    Args:
        maps: (N, C, h, w) maps after pixel correlation, absent classes being 0; without background, C at least 1.
        lowest_share: Share, above 0 and up to 1, of an image's h * w positions that count, those where the strongest
            class is weakest; at least one does.

    Returns:
        A scalar, at least 0; values below 0 count as 0. It is 0 with a gradient of 0 for images without tags.

    Raises:
        ShapeError: If `maps` is not (N, C, h, w) float with at least one element.
        ConfigError: If the share is not above 0 and at most 1.
    """
    _require_maps(maps)
    if maps.numel() == 0:
        raise ShapeError(f"expected maps with at least one element, got {tuple(maps.shape)}")
    strongest = maps.amax(dim=1).flatten(1)
    counted = _share_of(strongest.shape[1], lowest_share, what="lowest_share")
    return strongest.topk(counted, dim=1, largest=False, sorted=False).values.relu().mean()


def _share_of(count: int, share: float, *, what: str) -> int:
    if not 0 < share <= 1:
        raise ConfigError(f"{what}: expected a share above 0 and at most 1, got {share}")
    return max(1, int(count * share))


def _require_alike(one: Tensor, other: Tensor) -> None:
    _require_maps(one)
    if other.shape != one.shape or one.numel() == 0:
        raise ShapeError(f"expected two sets of maps of one shape (N, L, h, w), got {_shape(one)} and {_shape(other)}")


def _require_maps(maps: Tensor) -> None:
    if maps.ndim != 4 or not maps.is_floating_point() or maps.shape[2] * maps.shape[3] == 0:
        raise ShapeError(
            f"expected float maps (N, L, h, w) with at least one position, got {maps.dtype} {_shape(maps)}"
        )


def _shape(maps: Tensor) -> tuple[int, ...]:
    return tuple(maps.shape)
