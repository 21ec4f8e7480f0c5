"""Random images and energies, and a short CRF on them."""

import numpy as np
from numpy.typing import NDArray

from weakseg.ops.crf import dense_crf

GAUSSIAN, BILATERAL = (3.0, 3.0), (50.0, 5.0, 10.0)


def draw_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def draw_energies(num_labels: int, height: int, width: int, seed: int = 1) -> NDArray[np.float32]:
    return 2 * np.random.default_rng(seed).random((num_labels, height, width), dtype=np.float32)


def run(image: NDArray[np.uint8], unary: NDArray[np.floating], iterations: int = 3, num_threads: int = 1) -> np.ndarray:
    return dense_crf(
        image, unary, gaussian=GAUSSIAN, bilateral=BILATERAL, iterations=iterations, num_threads=num_threads
    )
