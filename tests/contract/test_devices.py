"""Every registered method works on the device of the network that it is given, tried on a pretended one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.contract.test_methods import SIZE_HW, build_network, image, make_refine_config, open_localizer, sample
from tests.device.cases import as_in_a_run, assert_alike
from tests.device.pretended import CPU, PRETENDED, pretended_device
from tests.tiny import make_dataset
from weakseg.refine.method import RefineContext, SeededImage, find_refiner
from weakseg.registry import LOCALIZERS, REFINERS
from weakseg.types import ScoreMaps

pytestmark = pytest.mark.slow

KEYS = (0, 2)
TOLERANCES = {"clip_es": 0.1}
"""By localiser; of most 1e-3. A tiny random CLIP attends nearly evenly, and stretching its maps to 0..1 makes much
of a rounding."""


def assert_same(case: Callable[[torch.device], object], *, tolerance: float) -> None:
    """Raise an error unless what a method makes on the device, always on the CPU or in arrays, is what the CPU makes.

    Whether anything was computed there is not asked: many refiners work on arrays alone.
    """
    with as_in_a_run():
        expected = case(CPU)
        with pretended_device():
            found = case(PRETENDED)
    assert_alike(found, expected, device=PRETENDED, tolerance=tolerance)


@pytest.mark.parametrize("name", LOCALIZERS.names())
def test_a_localizer_works_where_the_classifier_is(tmp_path: Path, name: str) -> None:
    train = make_dataset(tmp_path, ((), (0,)))

    def localize_on(device: torch.device) -> object:
        with open_localizer(name, train, 3, tmp_path / device.type, device=device) as (_, localize):
            maps = localize(sample(KEYS, 3), image(), 0).maps
        return [scale.cpu().numpy() for scale in maps.scales]

    assert_same(localize_on, tolerance=TOLERANCES.get(name, 1e-3))


@pytest.mark.parametrize("name", REFINERS.names())
def test_a_refiner_works_where_its_network_is(name: str) -> None:
    scores = torch.rand(len(KEYS), 7, 10, generator=torch.Generator().manual_seed(0))
    refiner, section = find_refiner(name), make_refine_config().refine
    item = SeededImage(sample(KEYS, 3), image(), ScoreMaps(KEYS, (scores,), SIZE_HW), SIZE_HW)

    def refine_on(device: torch.device) -> object:
        network = build_network(name)
        context = RefineContext(section, device, None if network is None else network.to(device))
        refined = refiner.open(context)(item, (0.3, 0.6) if refiner.has_threshold else ())
        return [refined.mask.labels, refined.mask.confidence, *refined.others]

    assert_same(refine_on, tolerance=1e-4)
