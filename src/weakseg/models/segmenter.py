"""What every segmentation network offers to training, inference and weights files, whatever its architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from weakseg.errors import ShapeError
from weakseg.files import JsonValue
from weakseg.types import MAX_CLASSES


class SegmentationNetwork(nn.Module, ABC):
    """A network from normalised images to logits of labels at a fraction of their size.

    Args:
        num_labels: Number of labels L, background included.
        stride: Ratio of the input's size to the logits'.

    Attributes:
        num_labels: Number of labels L.
        stride: Ratio of the input's size to the logits'.

    Raises:
        ShapeError: If `num_labels` is not in 2..255.
    """

    num_labels: int
    stride: int

    def __init__(self, *, num_labels: int, stride: int) -> None:
        super().__init__()
        if not 2 <= num_labels <= MAX_CLASSES + 1:
            raise ShapeError(f"a segmenter has 2 to {MAX_CLASSES + 1} labels with the background, got {num_labels}")
        self.num_labels = num_labels
        self.stride = stride

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Turn images into logits.

        Args:
            x: (N, 3, H, W) float32 images of any size, normalised as `weakseg.ops.images.normalise` does.

        Returns:
            Logits (N, L, ceil(H / stride), ceil(W / stride)) float32.

        Raises:
            ShapeError: If the images are not (N, 3, H, W) float.
        """

    @abstractmethod
    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that learn at the base rate."""

    @abstractmethod
    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that learn `head_multiplier` times faster."""

    @abstractmethod
    def architecture(self) -> dict[str, JsonValue]:
        """Return what, beside its name and the number of labels, a weights file must say to rebuild the network."""

    def predict_logits(self, x: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """Return the logits (N, L, *size_hw) of normalised images, upsampled bilinearly (`align_corners=False`)."""
        return nn.functional.interpolate(self(x), size_hw, mode="bilinear", align_corners=False)
