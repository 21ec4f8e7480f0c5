"""The fully connected CRF of Krähenbühl and Koltun: all pixels are tied, and labels follow the edges of the image.

From "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (NIPS 2011): mean field with a Potts
model over two kernels, one on positions and one on positions and colours, filtered on the permutohedral lattice
(`weakseg.ops.lattice`). Kernels are normalised symmetrically, `D^-1/2 K D^-1/2` with `D = diag(K 1)`, as the official
code does by default; the paper does not say so. `docs/crf.md` tells more, and how close this comes to the recordings.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.compiled import Team
from weakseg.ops.crf_settings import BILATERAL, CERTAINTY, GAUSSIAN, ITERATIONS
from weakseg.ops.images import require_image
from weakseg.ops.kinds import require_array
from weakseg.ops.label_lanes import pack_labels, softmax, unpack_labels
from weakseg.ops.lattice import LANES, Lattice
from weakseg.types import MAX_CLASSES

Float32Array = NDArray[np.float32]

MIN_WIDTH = 0.01
"""Narrower kernels reach no neighbour (in px or levels), and their coordinates would leave float32."""


class DenseCRF:
    """The CRF of one image, which serves any number of label energies.

    Building it costs about two thirds of what ten iterations cost. It is only read afterwards: several threads may
    infer with it.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        gaussian: (standard deviation in px, weight) of the kernel on positions.
        bilateral: (standard deviation in px, standard deviation in levels 0..255, weight) of the kernel on positions
            and colours. A weight of 0 switches a kernel off.
        num_threads: Threads that share the work, None for as many as torch uses (`weakseg.ops.compiled.Team`). The
            results are the same, to the bit, for any number.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8.
        ConfigError: If a kernel is narrower than 0.01, a weight is negative, or a number is not finite.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        *,
        gaussian: tuple[float, float],
        bilateral: tuple[float, float, float],
        num_threads: int | None = None,
    ) -> None:
        require_image(image)
        _require_kernel(gaussian, names=("sxy", "weight"), what="gaussian")
        _require_kernel(bilateral, names=("sxy", "srgb", "weight"), what="bilateral")
        self.size_hw = (image.shape[0], image.shape[1])
        self._num_threads = num_threads
        with Team(num_threads) as team:
            self._kernels = [
                (_build_kernel(_features(image, *widths), team), weight)
                for *widths, weight in (gaussian, bilateral)
                if weight > 0
            ]

    def infer(self, unary: NDArray[np.floating], *, iterations: int = ITERATIONS) -> Float32Array:
        """Find the labels' marginals by mean field.

        Args:
            unary: (L, H, W) float energies of 1 to 255 labels, as -log of probabilities, to a constant per pixel;
                infinity rules a label out. Not modified.
            iterations: Number of updates, 0 or more; with 0 the marginals are softmax(-unary).

        Returns:
            (L, H, W) float32 in 0..1 that sum to 1 over the labels; 1 everywhere for a single label.

        Raises:
            ShapeError: If the energies are not such an array of the image's size, hold NaN or minus infinity, rule out
                every label of a pixel, or a pixel's lowest one is beyond float32.
            ConfigError: If the number of iterations is negative.
        """
        self._require_energies(unary)
        if iterations < 0:
            raise ConfigError(f"iterations: expected 0 or more, got {iterations}")
        num_labels = len(unary)
        if num_labels == 1:
            return np.ones(unary.shape, np.float32)
        evidence = pack_labels(unary)
        scores, marginals = evidence.copy(), np.empty_like(evidence)
        buffers = [lattice.make_buffers() for lattice, _ in self._kernels]
        with Team(self._num_threads) as team:
            team.run(partial(softmax, scores, marginals), evidence.shape[1])
            for _ in range(iterations):
                np.copyto(scores, evidence)
                # Potts: a label costs its pixel the others' share of the neighbourhood, which is, to a constant per
                # pixel, minus its own share. The paper leaves the pixel itself out of its neighbourhood, the official
                # code does not, nor does this.
                for (lattice, weight), buffer in zip(self._kernels, buffers, strict=True):
                    for values, result in zip(marginals, scores, strict=True):
                        lattice.add_filtered(values, weight, result, buffers=buffer, team=team)
                team.run(partial(softmax, scores, marginals), evidence.shape[1])
        return unpack_labels(marginals, num_labels, self.size_hw)

    def refine(
        self,
        labels: NDArray[np.integer],
        *,
        num_labels: int,
        certainty: float = CERTAINTY,
        iterations: int = ITERATIONS,
    ) -> NDArray[np.uint8]:
        """Refine a label map; see `refine_labels`."""
        _require_labels(labels, num_labels, self.size_hw)
        if num_labels == 1:
            return np.zeros(self.size_hw, np.uint8)
        marginals = self.infer(
            label_energies(labels, num_labels=num_labels, certainty=certainty), iterations=iterations
        )
        refined: NDArray[np.uint8] = marginals.argmax(axis=0).astype(np.uint8)
        return refined

    def _require_energies(self, unary: NDArray[np.floating]) -> None:
        require_array(unary, "energies")
        if (
            unary.ndim != 3
            or unary.shape[1:] != self.size_hw
            or not 1 <= len(unary) <= MAX_CLASSES + 1
            or not np.issubdtype(unary.dtype, np.floating)
        ):
            raise ShapeError(
                f"expected float energies (L, {self.size_hw[0]}, {self.size_hw[1]}), the image's size, of 1 to "
                f"{MAX_CLASSES + 1} labels, got {unary.dtype} {unary.shape}"
            )
        # `min` carries NaN along, for which the comparison is false.
        if not (np.abs(unary.min(axis=0)) <= np.finfo(np.float32).max).all():
            raise ShapeError(
                "energies must not be NaN or minus infinity, nor infinite for every label of a pixel, and must fit "
                "float32; a probability has the energy -log p"
            )


def dense_crf(
    image: NDArray[np.uint8],
    unary: NDArray[np.floating],
    *,
    gaussian: tuple[float, float],
    bilateral: tuple[float, float, float],
    iterations: int = ITERATIONS,
    num_threads: int | None = None,
) -> Float32Array:
    """Find the marginals of labels from their energies and the image.

    `DenseCRF` does the same for several energies of one image in less time.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        unary: (L, H, W) float energies, see `DenseCRF.infer`. Not modified.
        gaussian: (sxy, weight): the kernel on positions, see `DenseCRF`.
        bilateral: (sxy, srgb, weight): the kernel on positions and colours.
        iterations: Number of mean-field updates.
        num_threads: Threads, None for as many as torch uses.

    Returns:
        (L, H, W) float32 marginals.

    Raises:
        ShapeError: If image or energies are not as described.
        ConfigError: If a setting is out of range.
    """
    crf = DenseCRF(image, gaussian=gaussian, bilateral=bilateral, num_threads=num_threads)
    return crf.infer(unary, iterations=iterations)


def refine_labels(
    image: NDArray[np.uint8],
    labels: NDArray[np.integer],
    *,
    num_labels: int,
    certainty: float = CERTAINTY,
    gaussian: tuple[float, float] = GAUSSIAN,
    bilateral: tuple[float, float, float] = BILATERAL,
    iterations: int = ITERATIONS,
    num_threads: int | None = None,
) -> NDArray[np.uint8]:
    """Refine a label map: every pixel gets the label with the largest marginal, the lower one of equals.

    The defaults are IRN's.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        labels: (H, W) whole numbers 0..num_labels-1, of any integer dtype. Not modified.
        num_labels: Number of labels with the background, 1 to 255. Labels that do not occur can still win a pixel if
            the image ties it to nothing else, and cost time: count the image's own ones only.
        certainty: Probability p of the given label, between 0 and 1: its energy is -log p, that of every other label
            -log((1 - p) / (num_labels - 1)).
        gaussian: (sxy, weight): the kernel on positions, see `DenseCRF`.
        bilateral: (sxy, srgb, weight): the kernel on positions and colours.
        iterations: Number of mean-field updates.
        num_threads: Threads, None for as many as torch uses.

    Returns:
        (H, W) uint8. With a single label, that label everywhere.

    Raises:
        ShapeError: If image and labels are not as described or differ in size.
        ConfigError: If a setting is out of range.
    """
    require_image(image)
    if num_labels == 1:  # no need to look at the image
        _require_labels(labels, num_labels, (image.shape[0], image.shape[1]))
        return np.zeros(labels.shape, np.uint8)
    crf = DenseCRF(image, gaussian=gaussian, bilateral=bilateral, num_threads=num_threads)
    return crf.refine(labels, num_labels=num_labels, certainty=certainty, iterations=iterations)


def label_energies(labels: NDArray[np.integer], *, num_labels: int, certainty: float = CERTAINTY) -> Float32Array:
    """Turn a label map (H, W) of 0..num_labels-1 into energies (L, H, W) float32; see `refine_labels`.

    Raises:
        ShapeError: If a label is out of range, or there are fewer than 2 or more than 255 labels.
        ConfigError: If the certainty does not lie between 0 and 1.
    """
    _require_labels(labels, num_labels, labels.shape)
    if num_labels < 2:
        raise ShapeError("a single label has no energy that means anything; expected 2 labels or more")
    if not 0 < certainty < 1:
        raise ConfigError(f"certainty: expected a probability between 0 and 1, both excluded, got {certainty}")
    energies = np.full((num_labels, *labels.shape), -math.log((1 - certainty) / (num_labels - 1)), np.float32)
    np.put_along_axis(energies, labels[None].astype(np.intp), np.float32(-math.log(certainty)), axis=0)
    return energies


def _build_kernel(features: Float32Array, team: Team) -> Lattice:
    """Return the lattice of features (d, N) with the symmetric normalisation worked in."""
    lattice = Lattice(features, team)
    num_points = features.shape[1]
    sums = np.zeros((num_points, LANES), np.float32)
    ones = np.ones_like(sums)
    lattice.add_filtered(ones, 1.0, sums, buffers=lattice.make_buffers(), team=team)
    lattice.scale_points((1 / np.sqrt(sums[:, 0])).astype(np.float32), team)
    return lattice


def _features(image: NDArray[np.uint8], sxy: float, srgb: float | None = None) -> Float32Array:
    """Return x, y and, with `srgb`, red, green and blue of every pixel (2 or 5, H*W) over the standard deviations.

    The order shapes the lattice and with it the result; it is that of the recordings.
    """
    height, width = image.shape[:2]
    features = np.empty((2 if srgb is None else 5, height, width), np.float32)
    features[0] = np.arange(width) / sxy
    features[1] = (np.arange(height) / sxy)[:, None]
    if srgb is not None:
        np.divide(image.transpose(2, 0, 1), np.float32(srgb), out=features[2:])
    return features.reshape(len(features), -1)


def _require_kernel(kernel: tuple[float, ...], *, names: tuple[str, ...], what: str) -> None:
    fits = len(kernel) == len(names) and all(math.isfinite(number) for number in kernel)
    if not fits or kernel[-1] < 0 or min(kernel[:-1]) < MIN_WIDTH:
        raise ConfigError(
            f"{what}: expected ({', '.join(names)}) with widths of at least {MIN_WIDTH} and a weight of 0 or more, "
            f"got {tuple(kernel)}"
        )


def _require_labels(labels: NDArray[np.integer], num_labels: int, size_hw: tuple[int, ...]) -> None:
    if not 1 <= num_labels <= MAX_CLASSES + 1:
        raise ShapeError(f"expected 1 to {MAX_CLASSES + 1} labels with the background, got {num_labels}")
    require_array(labels, "labels")
    if labels.ndim != 2 or labels.shape != size_hw or not np.issubdtype(labels.dtype, np.integer):
        raise ShapeError(f"expected whole labels {size_hw}, the image's size, got {labels.dtype} {labels.shape}")
    if labels.size == 0:
        raise ShapeError(f"expected labels of at least 1 x 1 px, got {labels.shape}")
    if labels.min() < 0 or labels.max() >= num_labels:
        bad = np.unique(labels[(labels < 0) | (labels >= num_labels)])[:5].tolist()
        raise ShapeError(f"expected labels 0..{num_labels - 1}, got {bad}; the CRF knows no ignored pixels")
