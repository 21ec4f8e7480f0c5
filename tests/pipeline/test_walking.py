import numpy as np
import pytest
import torch

from weakseg.models.irnet import IRNet, build_irnet
from weakseg.ops.images import normalise
from weakseg.pipeline.seeds import SeededImage
from weakseg.refine.instances import find_instances
from weakseg.refine.irn import IRNConfig, walked_maps
from weakseg.refine.irn_walker import Walker
from weakseg.types import Sample, ScoreMaps

IMAGE_HW = (37, 50)
ORIGINAL_HW = (74, 100)
CONFIG = IRNConfig(pad_px=64, walk_radius=4, walk_beta=7.0, walk_doublings=3, seed_power=1.5, instance_threshold=0.4)


@pytest.fixture(scope="module")
def irnet() -> IRNet:
    return build_irnet("critter", generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def item() -> SeededImage:
    """An image as a network sees it, half as high and wide as the original."""
    image = np.random.default_rng(0).integers(0, 256, (*IMAGE_HW, 3), dtype=np.uint8)
    maps = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(1))
    sample = Sample("a", "a.png", np.array([1, 0, 1], np.uint8), np.ones(3, np.bool_))
    return SeededImage(sample, image, ScoreMaps((0, 2), (maps,), IMAGE_HW), ORIGINAL_HW)


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", [IMAGE_HW, ORIGINAL_HW])
def test_every_setting_of_the_walk_reaches_it(irnet: IRNet, item: SeededImage, size_hw: tuple[int, int]) -> None:
    edge, _ = irnet.infer(normalise(item.image), crop_size=64)
    expected = walked_maps(
        item.seed.strided(4), edge, image_size_hw=size_hw, radius=4, beta=7.0, doublings=3, seed_power=1.5
    )
    walker = Walker(irnet, CONFIG)
    found = walker.walk(item, walker.find_edges(item), size_hw=size_hw)
    assert found.shape == (2, *size_hw)
    assert torch.equal(found, expected)
    usual = Walker(irnet, IRNConfig())
    assert not torch.equal(usual.walk(item, usual.find_edges(item), size_hw=size_hw), expected)


def test_every_setting_of_the_instances_reaches_them(irnet: IRNet, item: SeededImage) -> None:
    edge, displacement = irnet.infer(normalise(item.image), crop_size=64)
    expected = find_instances(
        item.seed.strided(4),
        (0, 2),
        edge,
        displacement,
        size_hw=IMAGE_HW,
        power=1.5,
        background_threshold=0.4,
        radius=4,
        beta=7.0,
        doublings=3,
    )
    walker = Walker(irnet, CONFIG)
    found = walker.find_instances(item, walker.find_edges(item))
    assert len(found.scores) == len(expected.scores) > 0
    assert np.array_equal(found.masks, expected.masks)
    assert np.array_equal(found.scores, expected.scores)
