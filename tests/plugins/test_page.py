"""What docs/plugins.md shows works as it stands there."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.tiny import make_classifier
from weakseg.localize.method import Localizer
from weakseg.models.registered import RegisteredBackbone
from weakseg.refine.method import Refiner, SeededImage
from weakseg.types import Sample

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
SIZE_HW = (25, 38)


@pytest.fixture(scope="module")
def shown() -> dict[str, object]:
    """Everything that the examples define, by name."""
    found: dict[str, object] = {"__name__": "weakseg_shown"}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/plugins.md", "exec"), found)
    return found


def test_what_each_line_registers_is_what_an_example_defines(shown: dict[str, object]) -> None:
    lines = re.findall(r'^(\w+) = "\w+:(\w+)"$', PAGE, re.MULTILINE)
    assert [(name, getattr(shown[item], "name", None)) for name, item in lines] == [
        ("tint", "tint"),
        ("smooth", "smooth"),
        ("dwarf", "dwarf"),
    ]


@pytest.mark.parametrize("keys", [(0, 2), ()])
def test_the_methods_work(shown: dict[str, object], keys: tuple[int, ...]) -> None:
    tint, smooth = shown["TINT"], shown["SMOOTH"]
    assert isinstance(tint, Localizer)
    assert isinstance(smooth, Refiner)
    tags = np.zeros(3, np.uint8)
    tags[list(keys)] = 1
    sample = Sample("one", Path("one.png"), tags, np.ones(3, np.bool_))
    image = np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3), np.uint8)
    section = SimpleNamespace(scales=(1.0,), tint=tint.settings(), smooth=smooth.settings())
    context = SimpleNamespace(classifier=make_classifier(num_classes=3).eval(), section=section)
    with tint.open(context) as localize:
        maps = localize(sample, image, 0).maps
    assert (maps.keys, maps.size_hw) == (keys, SIZE_HW)
    refined = smooth.open(context)(SeededImage(sample, image, maps, SIZE_HW), (0.3, 0.5))
    assert refined.mask.labels.shape == SIZE_HW
    assert len(refined.others) == 1


@pytest.mark.parametrize(("dense", "stride"), [(False, 16), (True, 8)])
def test_the_backbone_is_built(shown: dict[str, object], dense: bool, stride: int) -> None:
    dwarf = shown["DWARF"]
    assert isinstance(dwarf, RegisteredBackbone)
    network = dwarf.build(dense, True, torch.Generator().manual_seed(0))
    assert network.stride == stride
    assert network(torch.zeros(1, 3, 33, 50)).shape == (1, 64, -(-33 // stride), -(-50 // stride))
