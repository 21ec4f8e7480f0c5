"""IRN's walk with its settings: the one place where they reach it, for the stage, thresholds and studies.

What a trained IRNet finds in an image, edges and displacements, serves the walk and the instances.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from weakseg.models.irnet import IRNet
from weakseg.ops.images import normalise
from weakseg.ops.instances import Instances
from weakseg.refine.instances import find_instances
from weakseg.refine.irn import IRNConfig
from weakseg.refine.irn_walk import walked_maps
from weakseg.refine.method import SeededImage


@dataclass(frozen=True, eq=False)
class Edges:
    """What IRNet finds in an image; see `IRNet.infer`.

    Args:
        edge: (h, w) float32 in 0..1.
        displacement: (2, h, w) float32 (dy, dx) in cells.
    """

    edge: Tensor
    displacement: Tensor


@dataclass(frozen=True, eq=False)
class Walker:
    """A trained IRNet and the settings of what follows.

    Args:
        irnet: In evaluation mode, on its device.
        config: The settings.
    """

    irnet: IRNet
    config: IRNConfig

    def find_edges(self, item: SeededImage) -> Edges:
        """Let IRNet look at an image."""
        edge, displacement = self.irnet.infer(normalise(item.image), crop_size=self.config.pad_px)
        return Edges(edge, displacement)

    def walk(self, item: SeededImage, edges: Edges, *, size_hw: tuple[int, int]) -> Tensor:
        """Spread an image's seed up to its edges; see `weakseg.refine.irn.walked_maps`.

        Args:
            item: The image and its seed.
            edges: Its edges.
            size_hw: (height, width) of the result in pixels: of the original image, or of the copy that IRNet saw.

        Returns:
            (K, H, W) float32 in 0..1 on IRNet's device.
        """
        return walked_maps(
            self._maps(item, edges),
            edges.edge,
            image_size_hw=size_hw,
            radius=self.config.walk_radius,
            beta=self.config.walk_beta,
            doublings=self.config.walk_doublings,
            seed_power=self.config.seed_power,
        )

    def find_instances(self, item: SeededImage, edges: Edges) -> Instances:
        """Find an image's instances, at the size IRNet saw it; see `weakseg.refine.instances.find_instances`."""
        return find_instances(
            self._maps(item, edges),
            item.seed.keys,
            edges.edge,
            edges.displacement,
            size_hw=item.seed.size_hw,
            stride_px=self.irnet.stride,
            power=self.config.seed_power,
            background_threshold=self.config.instance_threshold,
            radius=self.config.walk_radius,
            beta=self.config.walk_beta,
            doublings=self.config.walk_doublings,
        )

    def _maps(self, item: SeededImage, edges: Edges) -> Tensor:
        return item.seed.strided(self.irnet.stride).to(edges.edge.device)
