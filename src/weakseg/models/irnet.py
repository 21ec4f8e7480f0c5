"""IRNet: where objects end, and where each pixel's object has its centre (Ahn et al., CVPR 2019, section 4).

Two light branches read the five stages of a frozen backbone: one gives the edge map along which a random walk stops
(`weakseg.ops.walk`), the other the displacement field whose fixed points are the instances' centres
(`weakseg.ops.instances`). Both answer at stride 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weakseg.errors import ShapeError
from weakseg.models.backbone import IMAGE_CHANNELS, require_images
from weakseg.models.backbones import STAGED_NAMES, build_staged
from weakseg.models.efficientnet_lite import EfficientNetLite
from weakseg.models.hf_backbone import HFBackbone
from weakseg.models.irnet_branches import IRN_STRIDE, DisplacementBranch, EdgeBranch
from weakseg.models.resnet import ResNet

IRNET_NAMES: tuple[str, ...] = STAGED_NAMES
"""Names `build_irnet` knows."""


@dataclass(frozen=True)
class BranchWidths:
    """Channels of the two branches; the defaults are the released ones.

    Args:
        edge: Of each stage in the edge branch.
        displacement: Of the first stage, of the second, and of everything later in the displacement branch.
    """

    edge: int = 32
    displacement: tuple[int, int, int] = (64, 128, 256)


NARROW_WIDTHS = BranchWidths(edge=16, displacement=(16, 32, 64))
"""For `critter`, whose stages have 16 to 128 channels; ResNet-50's have 64 to 2048."""


class IRNet(nn.Module):
    """A frozen backbone and the two branches, which alone learn.

    The backbone runs without gradient history and on its batch norms' running statistics, in training too. The state
    dict holds `backbone.*`, `edge.*`, `displacement.*` and `mean_displacement`.

    Args:
        backbone: The network below the branches; its parameters are frozen here.
        widths: Channels of the branches.
        generator: Source of the branches' random weights; torch's global one if None.

    Attributes:
        stride: 4, the ratio of the image's size to that of the outputs.
        mean_displacement: (2,) float32 buffer, mean (dy, dx) over the training images, which `infer` subtracts; 0
            until training has ended.

    Raises:
        ShapeError: If no stage of the backbone is at stride 4 or finer, or a stride is not a multiple of another.
    """

    mean_displacement: Tensor

    def __init__(
        self,
        backbone: ResNet | EfficientNetLite | HFBackbone,
        *,
        widths: BranchWidths = BranchWidths(),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        stages = backbone.stage_forms()
        if min(stage.stride for stage in stages) > IRN_STRIDE:
            strides = [stage.stride for stage in stages]
            raise ShapeError(f"IRNet answers at stride {IRN_STRIDE}; the backbone's finest is {min(strides)} {strides}")
        self.edge = EdgeBranch(stages, width=widths.edge, generator=generator)
        self.displacement = DisplacementBranch(stages, widths=widths.displacement, generator=generator)
        self.register_buffer("mean_displacement", torch.zeros(2))
        self.stride = IRN_STRIDE
        self.train(self.training)

    def train(self, mode: bool = True) -> IRNet:
        """Set the mode of everything but the backbone, which stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Look at normalised images (N, 3, H, W) as training does: one view, nothing subtracted.

        Returns:
            Edge logits (N, h, w), whose sigmoid is the chance of an edge; and displacements (N, 2, h, w) as (dy, dx) in
            cells. h = ceil(H / 4), w = ceil(W / 4).

        Raises:
            ShapeError: If the images are not (N, 3, H, W) float.
        """
        require_images(x)
        with torch.no_grad():
            stages = self.backbone.run_stages(x)
        return self.edge(stages), self.displacement(stages)

    def look(self, images: Tensor, *, crop_size: int | None) -> tuple[Tensor, Tensor]:
        """Run `forward` on padded images and return what belongs to the images themselves.

        Args:
            images: (N, 3, H, W) float, normalised, on the network's device; not modified.
            crop_size: Pad with 0 at the right and bottom until both sides have at least this many pixels. A longer side
                is left as it is. None for no padding.

        Returns:
            Edge logits (N, h, w) and displacements (N, 2, h, w); h = ceil(H / 4), w = ceil(W / 4), however padded.

        Raises:
            ShapeError: If the images are not that, or `crop_size` is below 1.
        """
        require_images(images)
        if crop_size is not None and crop_size < 1:
            raise ShapeError(f"crop_size is a number of pixels above 0, or None for no padding, got {crop_size}")
        height, width = images.shape[2:]
        missing = (0, 0) if crop_size is None else (max(0, crop_size - height), max(0, crop_size - width))
        logits, displacement = self(nn.functional.pad(images, (0, missing[1], 0, missing[0])))
        rows, columns = math.ceil(height / self.stride), math.ceil(width / self.stride)
        return logits[:, :rows, :columns], displacement[:, :, :rows, :columns]

    @torch.no_grad()
    def infer(self, image: Tensor, *, crop_size: int | None = None) -> tuple[Tensor, Tensor]:
        """Find edges and displacements of a whole image.

        The edge is the sigmoid of the mean logit of the image and, flipped back, of its mirror image. The displacement
        is that of the image alone, less `mean_displacement`. The image is mirrored first and padded then, as released.

        Args:
            image: (3, H, W) float, normalised as `weakseg.ops.images.normalise` does; not modified. It is moved to the
                device of the network.
            crop_size: See `look`. The released VOC code pads to its training crop, 512, the COCO code does not pad.
                Group norms see the padding, so that results differ.

        Returns:
            Edge (h, w) float32 in 0..1, and displacement (2, h, w) float32 as (dy, dx) in cells, on the network's
            device. h = ceil(H / 4), w = ceil(W / 4).

        Raises:
            ShapeError: If the image is not (3, H, W) float, or `crop_size` is below 1.
        """
        if image.ndim != 3 or image.shape[0] != IMAGE_CHANNELS or not image.is_floating_point() or not image.numel():
            raise ShapeError(f"expected a normalised image (3, H, W) float, got {image.dtype} {tuple(image.shape)}")
        views = torch.stack((image, image.flip(-1))).to(self.mean_displacement)
        logits, displacements = self.look(views, crop_size=crop_size)
        edge = torch.sigmoid((logits[0] + logits[1].flip(-1)) / 2)
        return edge, displacements[0] - self.mean_displacement[:, None, None]

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that learn at the base rate: the edge branch's, since the backbone is frozen."""
        return list(self.edge.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the displacement branch's parameters; IRN multiplies its gradients by 10."""
        return list(self.displacement.parameters())


def build_irnet(name: str, *, generator: torch.Generator | None = None) -> IRNet:
    """Build an IRNet with random weights, in training mode.

    Fill `backbone` with trained weights before use, see `weakseg.models.weights.load_backbone`: it never learns here.

    Args:
        name: Backbone, one of `IRNET_NAMES`; `resnet50` is the released one. `critter` has narrow branches.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown.
    """
    backbone = build_staged(name, fixed_norm=True, generator=generator)
    return IRNet(backbone, widths=NARROW_WIDTHS if name == "critter" else BranchWidths(), generator=generator)
