import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.localize.cam import score_maps
from weakseg.localize.rib import adapt
from weakseg.localize.seam import SEAM_SCALES, refined_score_maps
from weakseg.models.seam import SEAM, build_seam
from weakseg.ops.images import normalise, resize_image

HEIGHT, WIDTH, NUM_CLASSES = 37, 52, 3


@pytest.fixture
def seam() -> SEAM:
    generator = torch.Generator().manual_seed(0)
    return build_seam(
        "critter38", num_classes=NUM_CLASSES, freeze_trunk=False, fixed_norm=False, generator=generator
    ).eval()


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def test_maps_are_the_refined_ones_of_both_mirror_images_at_every_scale(seam: SEAM, image: NDArray[np.uint8]) -> None:
    maps = refined_score_maps(seam, image, np.array([1, 0, 1]), scales=(1.0, 0.5))
    assert maps.keys == (0, 2)
    assert maps.size_hw == (HEIGHT, WIDTH)
    for scale_maps, size_hw in zip(maps.scales, ((HEIGHT, WIDTH), (18, 26)), strict=True):
        view = normalise(resize_image(image, size_hw))[None]
        with torch.no_grad():
            plain, mirrored = seam.strided_maps(view)[1], seam.strided_maps(view.flip(3))[1].flip(3)
        torch.testing.assert_close(scale_maps, (plain + mirrored)[0, [1, 3]], rtol=1e-4, atol=1e-6)


def test_seeds_have_the_size_of_the_image_and_lie_in_0_to_1(seam: SEAM, image: NDArray[np.uint8]) -> None:
    seed = refined_score_maps(seam, image, np.ones(NUM_CLASSES)).full()
    assert seed.shape == (NUM_CLASSES, HEIGHT, WIDTH)
    assert 0 <= seed.min() < seed.max() <= 1


def test_default_scales_are_the_released_ones(seam: SEAM, image: NDArray[np.uint8]) -> None:
    assert SEAM_SCALES == (0.5, 1.0, 1.5, 2.0)
    maps = refined_score_maps(seam, image, np.array([0, 1, 0]))
    assert [tuple(part.shape) for part in maps.scales] == [(1, 3, 4), (1, 5, 7), (1, 7, 10), (1, 10, 13)]


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_maps_follow_the_number_of_tags(num_classes: int, image: NDArray[np.uint8]) -> None:
    seam = build_seam("critter38", num_classes=num_classes, freeze_trunk=True, fixed_norm=True)
    maps = refined_score_maps(seam, image, torch.ones(num_classes), scales=(1.0,))
    assert maps.scales[0].shape == (num_classes, 5, 7)
    assert maps.scales[0].dtype == torch.float32


def test_image_without_tags_has_no_maps_of_the_same_sizes(
    seam: SEAM, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    tagged = refined_score_maps(seam, image, np.array([1, 0, 0]))
    monkeypatch.setattr(seam, "trunk", None)  # no pass through the network
    untagged = refined_score_maps(seam, image, np.zeros(NUM_CLASSES))
    assert untagged.keys == ()
    assert [part.shape[1:] for part in untagged.scales] == [part.shape[1:] for part in tagged.scales]
    assert untagged.full().shape == (0, HEIGHT, WIDTH)


def test_mirrored_image_has_mirrored_maps(seam: SEAM, image: NDArray[np.uint8]) -> None:
    maps = refined_score_maps(seam, image, np.array([1, 1, 0]), scales=(1.0,)).scales[0]
    mirrored = refined_score_maps(seam, image[:, ::-1], np.array([1, 1, 0]), scales=(1.0,)).scales[0]
    torch.testing.assert_close(mirrored, maps.flip(2), rtol=1e-4, atol=1e-6)


def test_modes_weights_statistics_and_image_are_left_alone(seam: SEAM, image: NDArray[np.uint8]) -> None:
    seam.train()
    seam.backbone.b6.eval()
    modes = [part.training for part in seam.modules()]
    state = {name: value.clone() for name, value in seam.state_dict().items()}
    before = image.copy()
    maps = refined_score_maps(seam, image, np.array([1, 0, 0]), scales=(0.5,))
    assert [part.training for part in seam.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in seam.state_dict().items())
    assert np.array_equal(image, before)
    assert not maps.scales[0].requires_grad
    evaluated = refined_score_maps(seam.eval(), image, np.array([1, 0, 0]), scales=(0.5,))
    assert torch.equal(maps.scales[0], evaluated.scales[0])


def test_cam_and_rib_see_a_classifier(seam: SEAM, image: NDArray[np.uint8]) -> None:
    """RIB's first maps are CAM's; it changes the layers above the trunk, gives them back and leaves the refinement."""
    before = {name: value.clone() for name, value in seam.state_dict().items()}
    tags = np.array([0, 1, 0])
    plain = score_maps(seam, image, tags, scales=(1.0, 0.5))
    crops = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(3))
    partners = [(crops, torch.tensor([[1, 0, 0], [0, 0, 1]]))] * 3
    sums = []
    result = adapt(
        seam,
        image,
        tags,
        partners,
        iterations=3,
        lr=1e-3,
        scales=(1.0, 0.5),
        area_ratio=1.0,
        after_iteration=sums.append,
    )
    assert (result.iterations, result.stopped_by) == (3, "completed")
    for first, cam, last in zip(sums[0].scales, plain.scales, result.maps.scales, strict=True):
        torch.testing.assert_close(first, cam)
        assert not torch.allclose(last, 3 * cam, rtol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in seam.state_dict().items())
    assert all(parameter.grad is None for parameter in seam.parameters())


def test_wrong_images_tags_and_scales_are_refused(seam: SEAM, image: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match=r"\(H, W, 3\) uint8"):
        refined_score_maps(seam, image.astype(np.float32), np.ones(3))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"tags of shape \(3,\)"):
        refined_score_maps(seam, image, np.ones(4))
    with pytest.raises(ShapeError, match="at least one scale"):
        refined_score_maps(seam, image, np.ones(3), scales=())
    with pytest.raises(ShapeError, match="above 0, got -1"):
        refined_score_maps(seam, image, np.ones(3), scales=(-1,))
