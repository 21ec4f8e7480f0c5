from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from weakseg.config.load import build_config
from weakseg.config.schema import RefineConfig
from weakseg.errors import ConfigError
from weakseg.refine import par as module
from weakseg.refine import pixel_adaptive as numerics
from weakseg.refine.crf_masks import crf_mask
from weakseg.refine.masks import seed_to_mask
from weakseg.refine.method import RefineContext, Refined, SeededImage
from weakseg.refine.par import PAR, PARConfig
from weakseg.types import Sample, ScoreMaps

SIZE_HW = (16, 32)
"""Multiples of 16, at which a seed is what was given."""

EDGE = 17
KEYS = (0, 2)


def make_item(keys: tuple[int, ...] = KEYS) -> SeededImage:
    """Two halves of different colours; the first class has a spot in the left one, another one in the right."""
    image = np.zeros((*SIZE_HW, 3), np.uint8)
    image[:, EDGE:] = 255
    maps = torch.zeros(len(keys), *SIZE_HW)
    maps[:1, 4:12, 2:10] = 1
    maps[1:, 3:13, 20:28] = 1
    tags = np.isin(np.arange(3), keys).astype(np.uint8)
    sample = Sample("one", Path("one.png"), tags, np.ones(3, np.bool_))
    return SeededImage(sample, image, ScoreMaps(keys, (maps,), SIZE_HW), SIZE_HW)


def refine(item: SeededImage, thresholds: tuple[float, ...], settings: PARConfig) -> Refined:
    section = replace(RefineConfig(), par=settings)
    return PAR.open(RefineContext(section, torch.device("cpu")))(item, thresholds)


def test_a_spot_fills_its_side_of_an_edge() -> None:
    found = refine(make_item(), (0.05,), PARConfig()).mask.labels
    assert (found[:, :EDGE] == 1).all()
    assert (found[:, EDGE:] == 3).all()


@pytest.mark.parametrize("iterations", [1, 20])
def test_its_cuts_are_those_of_a_background_that_is_spread_as_well(iterations: int) -> None:
    """As the release does: the background is one more map, the threshold everywhere."""
    item, thresholds = make_item(), (0.02, 0.3, 0.9)
    found = refine(item, thresholds, PARConfig(iterations=iterations))
    image = torch.from_numpy(item.image).permute(2, 0, 1).double()
    for threshold, mask in zip(thresholds, [found.mask.labels, *found.others], strict=True):
        background = torch.full((1, *SIZE_HW), threshold, dtype=torch.float64)
        maps = torch.cat([background, item.seed.full().double()])
        spread = module.pixel_adaptive(image, maps, iterations=iterations)
        np.testing.assert_array_equal(mask, np.array([0, 1, 3])[spread.argmax(dim=0)])


def test_without_iterations_it_is_the_seeds_mask() -> None:
    item = make_item()
    found = refine(item, (0.5,), PARConfig(iterations=0)).mask.labels
    np.testing.assert_array_equal(found, seed_to_mask(item.seed.full().numpy(), KEYS, background_threshold=0.5))


def test_the_crf_of_the_recipe_may_follow() -> None:
    item, thresholds = make_item(), (0.1, 0.4)
    found = refine(item, thresholds, PARConfig(dilations=(1, 3), iterations=5, crf=True))
    maps = numerics.spread_seed(
        item.image, item.seed.full(), dilations=(1, 3), iterations=5, device=torch.device("cpu")
    ).numpy()
    for threshold, mask in zip(thresholds, [found.mask.labels, *found.others], strict=True):
        settings = RefineConfig().crf.as_value()
        expected = crf_mask(item.image, maps, KEYS, background_threshold=threshold, settings=settings)
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("crf", [False, True])
def test_an_image_without_tags_is_background(crf: bool) -> None:
    found = refine(make_item(()), (0.3, 0.2), PARConfig(crf=crf))
    assert not found.mask.labels.any()
    assert [mask.any() for mask in found.others] == [False]


def test_maps_stay_within_0_and_1() -> None:
    item = make_item()
    ones = torch.ones(1, *SIZE_HW)
    spread = numerics.spread_seed(item.image, ones, dilations=(1, 24), iterations=200, device=torch.device("cpu"))
    assert float(spread.max()) <= 1
    torch.testing.assert_close(spread, ones, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("dilations=[]", "refine.par.dilations: expected at least one value, got an empty list"),
        ("dilations=[0]", r"refine.par.dilations: expected a value within 1\.\.512, got 0"),
        ("iterations=-1", r"refine.par.iterations: expected a value within 0\.\.1000, got -1"),
    ],
)
def test_settings_out_of_range_are_told(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config({}, (f"--refine.par.{word}",))
